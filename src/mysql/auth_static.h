#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "mysql/auth.h"

namespace vitrail::mysql {

// Users from a JSON text, as --mysql-auth-server-static-file and -string give it:
//
//   {"user": [{"MysqlNativePassword": "*6C387FC3893DBA1E3BA155E74754DA6682D04747", "CachingSha2Password": "",
//              "Password": "", "UserData": "caller", "SourceHost": "localhost", "Groups": ["a"]}, ...], ...}
//
// One object instead of the list is accepted too (older files). Precedence within an entry: MysqlNativePassword and
// CachingSha2Password if not empty, otherwise Password (possibly empty: then only the empty password fits).
// MysqlNativePassword: "*" + 40 hex digits. CachingSha2Password: 64 hex digits of SHA256(SHA256(password)) with or
// without a leading "*", or the stored form "$A$005$...". SourceHost: "" (anywhere) or "localhost" (unix socket only).
//
//   Threads: immutable after parse(); reload through ReloadableCredentials.
class StaticCredentials : public AuthProvider {
 public:
  // kInvalidArgument names the user and the field that is wrong, never a password.
  static Result<StaticCredentials> parse(std::string_view json);

  std::vector<Credentials> find_user(std::string_view user, const Peer& peer) const override;
  size_t users() const { return users_.size(); }

 private:
  struct Entry {
    Credentials credentials;
    bool local_only = false;
  };
  std::unordered_map<std::string, std::vector<Entry>> users_;
};

// A provider whose users are replaced while connections are made: what a reload of the file swaps.
//   Threads: find_user() and replace() may run at the same time.
class ReloadableCredentials : public AuthProvider {
 public:
  explicit ReloadableCredentials(std::shared_ptr<const AuthProvider> first) : current_(std::move(first)) {}

  void replace(std::shared_ptr<const AuthProvider> next) { current_.store(std::move(next)); }
  std::vector<Credentials> find_user(std::string_view user, const Peer& peer) const override {
    return current_.load()->find_user(user, peer);
  }

 private:
  std::atomic<std::shared_ptr<const AuthProvider>> current_;
};

}  // namespace vitrail::mysql
