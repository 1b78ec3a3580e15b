#include "backup/manifest.h"

#include <fmt/core.h>

#include <chrono>
#include <ctime>
#include <nlohmann/json.hpp>

#include "backup/checksum.h"
#include "base/text.h"

namespace vitrail::backup {
namespace {

using Json = nlohmann::ordered_json;
constexpr uint64_t kManifestBytesMax = 256u << 20;
constexpr std::string_view kZstd = "zstd";

std::tm utc(base::WallTime time) {
  const std::time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
  std::tm out{};
  ::gmtime_r(&seconds, &out);
  return out;
}

std::optional<base::WallTime> from_fields(std::string_view text, const char* format) {
  std::tm fields{};
  const std::string copy(text);
  const char* end = ::strptime(copy.c_str(), format, &fields);
  if (end == nullptr || *end != 0) return std::nullopt;
  return base::WallTime(std::chrono::seconds(::timegm(&fields)));
}

// The text that the checksum is of: the document with an empty one.
std::string checksum_of(Json document) {
  document["Checksum"] = "";
  Crc32c sum;
  sum.add(document.dump());
  return sum.to_hex();
}

Error broken(std::string_view what) { return fail(Code::kDataLoss, fmt::format("the MANIFEST is damaged: {}", what)); }

Result<base::WallTime> time_field(const Json& document, const char* key) {
  const std::string text = document.value(key, "");
  if (text.empty()) return base::WallTime{};
  auto time = parse_backup_time(text);
  if (!time.ok()) return broken(fmt::format("{} is '{}'", key, text));
  return time;
}

Result<Part> parse_part(const Json& entry) {
  Part part;
  part.base = entry.at("Base").get<std::string>();
  part.name = entry.at("Name").get<std::string>();
  part.hash = entry.at("Hash").get<std::string>();
  part.offset = entry.value("Offset", uint64_t{0});
  if (entry.contains("Length")) part.length = entry.at("Length").get<uint64_t>();
  if (entry.contains("StoredBytes")) part.stored = entry.at("StoredBytes").get<uint64_t>();
  if (part.name.empty() || part.name.front() == '/') return broken("a part's name is '" + part.name + "'");
  for (const auto piece : base::split(part.name, '/')) {
    if (piece == ".." || piece.empty()) return broken("a part's name is '" + part.name + "'");
  }
  return part;
}

Result<Manifest> parse_document(const Json& document) {
  Manifest out;
  out.backup_name = document.value("BackupName", "");
  out.backup_method = document.at("BackupMethod").get<std::string>();
  out.position = document.at("Position").get<std::string>();
  out.incremental = document.value("Incremental", false);
  out.from_position = document.value("FromPosition", "");
  out.from_backup = document.value("FromBackup", "");
  if (const auto details = document.find("IncrementalDetails"); details != document.end() && details->is_object()) {
    ASSIGN_OR_RETURN(out.first_transaction, time_field(*details, "FirstTimestamp"));
    ASSIGN_OR_RETURN(out.last_transaction, time_field(*details, "LastTimestamp"));
  }
  ASSIGN_OR_RETURN(out.backup_time, time_field(document, "BackupTime"));
  ASSIGN_OR_RETURN(out.finished_time, time_field(document, "FinishedTime"));
  out.server_uuid = document.value("ServerUUID", "");
  out.tablet_alias = document.value("TabletAlias", "");
  out.hostname = document.value("Hostname", "");
  out.keyspace = document.value("Keyspace", "");
  out.shard = document.value("Shard", "");
  out.server_version = document.value("MySQLVersion", "");
  out.upgrade_safe = document.value("UpgradeSafe", false);
  out.compressed = !document.value("SkipCompress", false);
  const std::string engine = document.value("CompressionEngine", "");
  if (out.compressed && engine != kZstd) {
    return fail(Code::kUnimplemented,
                fmt::format("the backup is compressed with '{}'; zstd is what can be read here", engine));
  }
  if (document.contains("Directories") && !document.at("Directories").is_null()) {
    out.directories = document.at("Directories").get<std::vector<std::string>>();
  }
  for (const auto& name : out.directories) {
    if (!(Place{"k/s", name}).check().ok()) return broken("a folder's name is '" + name + "'");
  }
  if (document.contains("FileEntries") && !document.at("FileEntries").is_null()) {
    for (const auto& entry : document.at("FileEntries")) {
      ASSIGN_OR_RETURN(auto part, parse_part(entry));
      out.parts.push_back(std::move(part));
    }
  }
  return out;
}

}  // namespace

std::string Manifest::to_json() const {
  Json details = nullptr;
  if (incremental) {
    details = {{"FirstTimestamp", rfc3339(first_transaction)}, {"LastTimestamp", rfc3339(last_transaction)}};
  }
  Json document = {
      {"BackupName", backup_name},
      {"BackupMethod", backup_method},
      {"Position", position},
      {"PurgedPosition", ""},
      {"FromPosition", from_position},
      {"FromBackup", from_backup},
      {"Incremental", incremental},
      {"BackupTime", rfc3339(backup_time)},
      {"FinishedTime", rfc3339(finished_time)},
      {"ServerUUID", server_uuid},
      {"TabletAlias", tablet_alias},
      {"Hostname", hostname},
      {"Keyspace", keyspace},
      {"Shard", shard},
      {"MySQLVersion", server_version},
      {"UpgradeSafe", upgrade_safe},
      {"IncrementalDetails", details},
      {"CompressionEngine", compressed ? std::string(kZstd) : std::string()},
      {"SkipCompress", !compressed},
      {"Directories", directories},
  };
  Json entries = Json::array();
  for (const Part& part : parts) {
    Json entry = {{"Base", part.base}, {"Name", part.name}, {"Hash", part.hash}, {"ParentPath", ""}};
    if (part.offset != 0) entry["Offset"] = part.offset;
    if (part.length) entry["Length"] = *part.length;
    if (part.stored) entry["StoredBytes"] = *part.stored;
    entries.push_back(std::move(entry));
  }
  document["FileEntries"] = std::move(entries);
  document["Checksum"] = "";
  document["Checksum"] = checksum_of(document);
  return document.dump(1) + "\n";
}

Result<Manifest> Manifest::parse(std::string_view json) {
  // The library throws; nothing of that leaves this function.
  try {
    const Json document = Json::parse(json);
    if (!document.is_object()) return broken("it is no JSON object");
    if (document.contains("Checksum") && document.at("Checksum") != checksum_of(document)) {
      return broken("it is not as it was written (Checksum)");
    }
    return parse_document(document);
  } catch (const Json::exception& error) {
    return broken(error.what());
  }
}

uint64_t Manifest::total_bytes() const {
  uint64_t sum = 0;
  for (const Part& part : parts) sum += part.length.value_or(0);
  return sum;
}

Status write_manifest(Storage& storage, const Place& place, const Manifest& manifest) {
  ASSIGN_OR_RETURN(const auto writer, storage.create(place, std::string(kManifestFile)));
  RETURN_IF_ERROR(writer->write(manifest.to_json()));
  return writer->commit();
}

Result<Manifest> read_manifest(Storage& storage, const Place& place) {
  auto reader = storage.open(place, std::string(kManifestFile));
  if (!reader.ok()) {
    if (reader.error().code() != Code::kNotFound) return std::move(reader).error();
    return fail(Code::kNotFound, "there is no whole backup " + place.to_string() + " (it has no MANIFEST)");
  }
  std::string text, chunk(64 << 10, 0);
  for (;;) {
    ASSIGN_OR_RETURN(const size_t got, (*reader)->read(chunk));
    if (got == 0) break;
    text.append(chunk, 0, got);
    if (text.size() > kManifestBytesMax) return broken("it is too long");
  }
  auto manifest = Manifest::parse(text);
  if (!manifest.ok()) return std::move(manifest).error().with_context("backup " + place.to_string());
  return manifest;
}

std::string backup_name(base::WallTime time, std::string_view tablet_alias) {
  const std::tm t = utc(time);
  return fmt::format("{:04}-{:02}-{:02}.{:02}{:02}{:02}.{}", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour,
                     t.tm_min, t.tm_sec, tablet_alias);
}

std::optional<NameParts> parse_backup_name(std::string_view name) {
  constexpr size_t kTimeLength = 17;
  if (name.size() < kTimeLength + 2 || name[kTimeLength] != '.') return std::nullopt;
  const auto time = from_fields(name.substr(0, kTimeLength), "%Y-%m-%d.%H%M%S");
  if (!time) return std::nullopt;
  return NameParts{*time, std::string(name.substr(kTimeLength + 1))};
}

Result<base::WallTime> parse_backup_time(std::string_view text) {
  for (const char* format : {"%Y-%m-%d.%H%M%S", "%Y-%m-%dT%H:%M:%SZ"}) {
    if (const auto time = from_fields(text, format)) return *time;
  }
  return fail(Code::kInvalidArgument, fmt::format("'{}' is not a time: give 2026-01-02.150405 or "
                                                  "2026-01-02T15:04:05Z (UTC)",
                                                  text));
}

std::string rfc3339(base::WallTime time) {
  const std::tm t = utc(time);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour,
                     t.tm_min, t.tm_sec);
}

}  // namespace vitrail::backup
