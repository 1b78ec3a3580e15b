#include "backup/s3_storage.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <thread>

#include "base/log.h"
#include "base/random.h"

namespace vitrail::backup {
namespace {

constexpr size_t kTextMax = 16 << 20;
constexpr uint64_t kPartMin = 5u << 20;  // S3 takes no smaller ones, but for the last.
constexpr auto kFirstPause = std::chrono::milliseconds(100);

std::string unescape(std::string_view text) {
  constexpr std::pair<std::string_view, char> kEntities[] = {
      {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&#34;", '"'}, {"&apos;", '\''}, {"&#39;", '\''}, {"&amp;", '&'}};
  std::string out;
  while (!text.empty()) {
    const auto entity = std::ranges::find_if(kEntities, [&](const auto& e) { return text.starts_with(e.first); });
    out += entity == std::end(kEntities) ? text.front() : entity->second;
    text.remove_prefix(entity == std::end(kEntities) ? 1 : entity->first.size());
  }
  return out;
}

Error error_of(int status, const std::string& text, const std::string& what) {
  const auto codes = xml_values(text, "Code"), messages = xml_values(text, "Message");
  const std::string code = codes.empty() ? "" : codes[0];
  Code kind = Code::kInternal;
  if (status == 404 && code != "NoSuchBucket") kind = Code::kNotFound;
  if (status == 404 && code == "NoSuchBucket") kind = Code::kFailedPrecondition;
  if (status == 401 || status == 403) kind = Code::kPermissionDenied;
  if (status == 507 || code.find("Quota") != std::string::npos || code == "XMinioStorageFull") {
    kind = Code::kResourceExhausted;
  } else if (status >= 500 || status == 429 || status == 408) {
    kind = Code::kUnavailable;
  }
  return fail(kind, fmt::format("{}: the storage answers {}{}{}{}{}", what, status, code.empty() ? "" : " ", code,
                                messages.empty() ? "" : ": ", messages.empty() ? "" : messages[0]));
}

}  // namespace

std::vector<std::string> xml_values(std::string_view text, std::string_view element) {
  const std::string open = fmt::format("<{}>", element), close = fmt::format("</{}>", element);
  std::vector<std::string> out;
  for (size_t at = 0; (at = text.find(open, at)) != std::string_view::npos;) {
    const size_t begin = at + open.size(), end = text.find(close, begin);
    if (end == std::string_view::npos) break;
    out.push_back(unescape(text.substr(begin, end - begin)));
    at = end + close.size();
  }
  return out;
}

// An upload. What is not committed is given up, and never was an object.
class S3Storage::Writer final : public FileWriter {
 public:
  Writer(S3Storage& storage, std::string key) : storage_(storage), key_(std::move(key)) {}
  ~Writer() override {
    if (upload_.empty()) return;
    const auto gone = storage_.request_text("DELETE", key_, {{"uploadId", upload_}});
    if (!gone.ok()) log_warning("an unfinished upload stays: {}", gone.error().message());
  }

  Status write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const size_t taken = std::min<size_t>(bytes.size(), part_bytes() - buffer_.size());
      buffer_.append(bytes.substr(0, taken));
      bytes.remove_prefix(taken);
      if (buffer_.size() == part_bytes()) RETURN_IF_ERROR(send_part());
    }
    return {};
  }

  Status commit() override {
    if (upload_.empty()) {
      ASSIGN_OR_RETURN(const std::string stored, storage_.request_text("PUT", key_, {}, buffer_, encryption()));
      return {};
    }
    if (!buffer_.empty()) RETURN_IF_ERROR(send_part());
    std::string list = "<CompleteMultipartUpload>";
    for (size_t i = 0; i < tags_.size(); ++i) {
      list += fmt::format("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", i + 1, tags_[i]);
    }
    list += "</CompleteMultipartUpload>";
    ASSIGN_OR_RETURN(const std::string done, storage_.request_text("POST", key_, {{"uploadId", upload_}}, list));
    // It answers 200 before it knows.
    if (done.find("<Error>") != std::string::npos) return error_of(500, done, key_);
    upload_.clear();
    return {};
  }

 private:
  uint64_t part_bytes() const { return std::max(storage_.options_.part_bytes, kPartMin); }
  std::map<std::string, std::string> encryption() const {
    if (storage_.options_.encryption.empty()) return {};
    return {{"x-amz-server-side-encryption", storage_.options_.encryption}};
  }

  Status send_part() {
    if (upload_.empty()) {
      ASSIGN_OR_RETURN(const std::string begun,
                       storage_.request_text("POST", key_, {{"uploads", ""}}, "", encryption()));
      const auto ids = xml_values(begun, "UploadId");
      if (ids.empty()) return fail(Code::kInternal, key_ + ": the storage began no upload");
      upload_ = ids[0];
    }
    ASSIGN_OR_RETURN(
        const auto answer,
        storage_.request("PUT", key_, {{"partNumber", std::to_string(tags_.size() + 1)}, {"uploadId", upload_}},
                         buffer_));
    const auto tag = answer->headers.find("etag");
    if (tag == answer->headers.end()) return fail(Code::kInternal, key_ + ": the storage gave no tag for a part");
    tags_.push_back(tag->second);
    buffer_.clear();
    return {};
  }

  S3Storage& storage_;
  const std::string key_;
  std::string buffer_;
  std::string upload_;  // Its id, once it is one in parts.
  std::vector<std::string> tags_;
};

class S3Storage::Reader final : public FileReader {
 public:
  Reader(S3Storage& storage, std::string key, std::unique_ptr<HttpAnswer> answer)
      : storage_(storage), key_(std::move(key)), answer_(std::move(answer)) {}

  Result<size_t> read(std::span<char> buffer) override {
    for (uint32_t attempt = 0;; ++attempt) {
      auto got = answer_->read(buffer);
      if (got.ok()) {
        offset_ += *got;
        return got;
      }
      // From there on.
      if (attempt >= storage_.options_.retries) return got;
      ASSIGN_OR_RETURN(answer_, storage_.request("GET", key_, {}, "", {{"range", fmt::format("bytes={}-", offset_)}}));
    }
  }

 private:
  S3Storage& storage_;
  const std::string key_;
  std::unique_ptr<HttpAnswer> answer_;
  uint64_t offset_ = 0;
};

Result<std::unique_ptr<Storage>> S3Storage::open(const S3Options& options) {
  if (options.bucket.empty()) {
    return fail(Code::kFailedPrecondition, "--backup_storage_implementation s3 needs --s3_backup_storage_bucket");
  }
  const bool amazon = options.endpoint.empty();
  ASSIGN_OR_RETURN(auto endpoint,
                   HttpEndpoint::parse(amazon ? "s3." + options.region + ".amazonaws.com" : options.endpoint));
  endpoint.skip_verify = options.tls_skip_verify;
  endpoint.timeout = options.timeout;
  if (!options.force_path_style) endpoint.host = options.bucket + "." + endpoint.host;
  ASSIGN_OR_RETURN(auto credentials, find_s3_credentials());
  return std::unique_ptr<Storage>(new S3Storage(options, std::move(endpoint), std::move(credentials)));
}

std::string S3Storage::key_of(const std::string& name) const {
  std::string root = options_.root;
  while (root.ends_with('/')) root.pop_back();
  while (root.starts_with('/')) root.erase(0, 1);
  return root.empty() ? name : root + "/" + name;
}

Result<std::unique_ptr<HttpAnswer>> S3Storage::try_once(std::string_view method, const std::string& key,
                                                        const Query& query, std::string_view body,
                                                        const std::map<std::string, std::string>& more) {
  S3Request signed_request;
  signed_request.method = method;
  signed_request.path = (options_.force_path_style ? "/" + options_.bucket : std::string()) + "/" + key;
  signed_request.query = query;
  signed_request.headers = more;
  signed_request.headers["host"] = endpoint_.authority();
  signed_request.body_hash = sha256_hex(body);
  sign(signed_request, credentials_, options_.region, base::system_clock().wall_now());
  HttpRequest request;
  request.method = method;
  request.target = signed_request.encoded_path();
  if (!query.empty()) request.target += "?" + signed_request.encoded_query();
  for (const auto& [name, value] : signed_request.headers) request.headers.emplace_back(name, value);
  request.body = body;
  ASSIGN_OR_RETURN(auto answer, http_exchange(endpoint_, request));
  if (answer->status >= 200 && answer->status < 300) return answer;
  const auto text = answer->read_all(kTextMax);
  return error_of(answer->status, text.ok() ? *text : "", key);
}

Result<std::unique_ptr<HttpAnswer>> S3Storage::request(std::string_view method, const std::string& key,
                                                       const Query& query, std::string_view body,
                                                       const std::map<std::string, std::string>& more) {
  auto pause = kFirstPause;
  for (uint32_t attempt = 0;; ++attempt, pause *= 2) {
    auto answer = try_once(method, key, query, body, more);
    if (answer.ok() || answer.error().code() != Code::kUnavailable || attempt >= options_.retries) return answer;
    std::this_thread::sleep_for(pause + std::chrono::milliseconds(base::system_random().below(100)));
  }
}

Result<std::string> S3Storage::request_text(std::string_view method, const std::string& key, const Query& query,
                                            std::string_view body, const std::map<std::string, std::string>& more) {
  ASSIGN_OR_RETURN(const auto answer, request(method, key, query, body, more));
  return answer->read_all(kTextMax);
}

Result<std::vector<std::string>> S3Storage::list_keys(const std::string& prefix, bool delimiter) {
  std::vector<std::string> out;
  Query query{{"list-type", "2"}, {"prefix", prefix}};
  if (delimiter) query["delimiter"] = "/";
  for (;;) {
    ASSIGN_OR_RETURN(const std::string text, request_text("GET", "", query));
    for (const auto& piece : xml_values(text, delimiter ? "CommonPrefixes" : "Contents")) {
      for (auto& name : xml_values(piece, delimiter ? "Prefix" : "Key")) {
        if (name.starts_with(prefix)) out.push_back(name.substr(prefix.size()));
      }
    }
    const auto next = xml_values(text, "NextContinuationToken");
    if (next.empty()) return out;
    query["continuation-token"] = next[0];
  }
}

Result<std::vector<std::string>> S3Storage::list(const std::string& shard) {
  RETURN_IF_ERROR((Place{shard, "any"}).check());
  ASSIGN_OR_RETURN(auto names, list_keys(key_of(shard) + "/", true));
  for (auto& name : names) {
    while (name.ends_with('/')) name.pop_back();
  }
  std::ranges::sort(names);
  return names;
}

Result<std::unique_ptr<FileWriter>> S3Storage::create(const Place& place, const std::string& file) {
  RETURN_IF_ERROR(place.check());
  return std::unique_ptr<FileWriter>(std::make_unique<Writer>(*this, key_of(place.to_string() + "/" + file)));
}

Result<std::unique_ptr<FileReader>> S3Storage::open(const Place& place, const std::string& file) {
  RETURN_IF_ERROR(place.check());
  const std::string key = key_of(place.to_string() + "/" + file);
  ASSIGN_OR_RETURN(auto answer, request("GET", key));
  return std::unique_ptr<FileReader>(std::make_unique<Reader>(*this, key, std::move(answer)));
}

Result<uint64_t> S3Storage::size(const Place& place, const std::string& file) {
  RETURN_IF_ERROR(place.check());
  const std::string key = key_of(place.to_string() + "/" + file);
  ASSIGN_OR_RETURN(const auto answer, request("HEAD", key));
  const std::string& text = answer->headers["content-length"];
  uint64_t length = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), length);
  if (parsed.ec != std::errc()) return fail(Code::kInternal, key + ": the storage tells no length");
  return length;
}

Status S3Storage::remove(const Place& place) {
  RETURN_IF_ERROR(place.check());
  const std::string prefix = key_of(place.to_string()) + "/";
  ASSIGN_OR_RETURN(auto files, list_keys(prefix, false));
  if (files.empty()) return fail(Code::kNotFound, "there is no backup " + place.to_string());
  std::ranges::sort(files, {}, [](const std::string& file) { return file != kManifestFile; });
  for (const auto& file : files) {
    const auto gone = request_text("DELETE", prefix + file);
    if (!gone.ok() && gone.error().code() != Code::kNotFound) return Error(gone.error());
  }
  return {};
}

}  // namespace vitrail::backup
