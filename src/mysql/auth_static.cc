#include "mysql/auth_static.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "base/hex.h"

namespace vitrail::mysql {
namespace {

using Json = nlohmann::json;

// Digits of exactly `bytes` bytes, with or without a leading "*".
std::optional<std::string> from_hex(std::string_view text, size_t bytes) {
  if (text.starts_with('*')) text.remove_prefix(1);
  Result<std::string> decoded = base::hex_decode(text);
  if (!decoded.ok() || decoded->size() != bytes) return std::nullopt;
  return std::move(*decoded);
}

class EntryReader {
 public:
  EntryReader(const std::string& user, const Json& json, std::vector<std::string>& problems)
      : user_(user), json_(json), problems_(problems) {}

  std::string text(const char* field) {
    const auto found = json_.find(field);
    if (found == json_.end() || found->is_null()) return {};
    if (!found->is_string()) {
      problem(field, "must be a string");
      return {};
    }
    return found->get<std::string>();
  }

  std::vector<std::string> list(const char* field) {
    const auto found = json_.find(field);
    std::vector<std::string> values;
    if (found == json_.end() || found->is_null()) return values;
    bool good = found->is_array();
    for (size_t i = 0; good && i < found->size(); ++i) {
      good = (*found)[i].is_string();
      if (good) values.push_back((*found)[i].get<std::string>());
    }
    if (!good) problem(field, "must be a list of strings");
    return values;
  }

  void problem(const char* field, std::string_view what) {
    problems_.push_back(fmt::format("user '{}': {} {}", user_, field, what));
  }

 private:
  const std::string& user_;
  const Json& json_;
  std::vector<std::string>& problems_;
};

}  // namespace

Result<StaticCredentials> StaticCredentials::parse(std::string_view json) {
  const Json root = Json::parse(json, nullptr, false);
  if (root.is_discarded() || !root.is_object()) {
    return fail(Code::kInvalidArgument, "static credentials are not a JSON object of users");
  }
  StaticCredentials result;
  std::vector<std::string> problems;
  for (const auto& [user, value] : root.items()) {
    std::vector<Entry>& entries = result.users_[user];
    const auto add = [&](const Json& item) {
      EntryReader reader(user, item, problems);
      if (!item.is_object()) {
        problems.push_back(fmt::format("user '{}': an entry must be an object", user));
        return;
      }
      Entry entry;
      const std::string native = reader.text("MysqlNativePassword");
      const std::string sha2 = reader.text("CachingSha2Password");
      const std::string password = reader.text("Password");
      if (!native.empty()) {
        entry.credentials.native = from_hex(native, 20);
        if (!entry.credentials.native) reader.problem("MysqlNativePassword", "must be '*' and 40 hex digits");
      }
      if (sha2.starts_with("$A$")) {
        entry.credentials.sha2_stored = sha2;
      } else if (!sha2.empty()) {
        entry.credentials.sha2 = from_hex(sha2, 32);
        if (!entry.credentials.sha2)
          reader.problem("CachingSha2Password", "must be 64 hex digits or the form '$A$005$...'");
      }
      if (native.empty() && sha2.empty()) entry.credentials.clear_password = password;
      entry.credentials.user_data = reader.text("UserData");
      entry.credentials.groups = reader.list("Groups");
      const std::string source = reader.text("SourceHost");
      entry.local_only = source == "localhost";
      if (!source.empty() && !entry.local_only) reader.problem("SourceHost", "must be empty or 'localhost'");
      entries.push_back(std::move(entry));
    };
    if (value.is_array()) {
      for (const Json& item : value) add(item);
    } else {
      add(value);
    }
  }
  if (!problems.empty()) {
    std::string all = "static credentials: ";
    for (size_t i = 0; i < problems.size(); ++i) all.append(i == 0 ? "" : "; ").append(problems[i]);
    return fail(Code::kInvalidArgument, std::move(all));
  }
  return result;
}

std::vector<Credentials> StaticCredentials::find_user(std::string_view user, const Peer& peer) const {
  std::vector<Credentials> usable;
  const auto found = users_.find(std::string(user));
  if (found == users_.end()) return usable;
  for (const Entry& entry : found->second) {
    if (!entry.local_only || peer.is_unix_socket) usable.push_back(entry.credentials);
  }
  return usable;
}

}  // namespace vitrail::mysql
