#include "backup/s3_signature.h"

#include <fmt/core.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <chrono>
#include <cstdlib>
#include <ctime>

#include "base/file.h"
#include "base/text.h"

namespace vitrail::backup {
namespace {

std::string hex(std::string_view bytes) {
  std::string out;
  for (const unsigned char c : bytes) out += fmt::format("{:02x}", c);
  return out;
}

std::string hmac(std::string_view key, std::string_view text) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  ::HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()),
         text.size(), out, &length);
  return std::string(reinterpret_cast<const char*>(out), length);
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

Result<S3Credentials> parse_s3_credentials(std::string_view text, std::string_view profile) {
  S3Credentials out;
  bool ours = false;
  for (std::string_view line : base::split(text, '\n')) {
    line = base::trim(line);
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[') {
      ours = base::trim(line.substr(1, line.find(']') - 1)) == profile;
      continue;
    }
    const size_t equals = line.find('=');
    if (!ours || equals == std::string_view::npos) continue;
    const std::string_view name = base::trim(line.substr(0, equals)), value = base::trim(line.substr(equals + 1));
    if (name == "aws_access_key_id") out.key_id = value;
    if (name == "aws_secret_access_key") out.secret = value;
    if (name == "aws_session_token") out.token = value;
  }
  if (!out.key_id.empty() && !out.secret.empty()) return out;
  return fail(Code::kFailedPrecondition, fmt::format("the profile '{}' has no keys", profile));
}

Result<S3Credentials> find_s3_credentials() {
  S3Credentials out{environment("AWS_ACCESS_KEY_ID"), environment("AWS_SECRET_ACCESS_KEY"),
                    environment("AWS_SESSION_TOKEN")};
  if (!out.key_id.empty() && !out.secret.empty()) return out;
  std::string path = environment("AWS_SHARED_CREDENTIALS_FILE"), profile = environment("AWS_PROFILE");
  if (path.empty()) path = environment("HOME") + "/.aws/credentials";
  if (profile.empty()) profile = "default";
  auto text = base::read_file(path, 1 << 20);
  auto found = text.ok() ? parse_s3_credentials(*text, profile) : Result<S3Credentials>(std::move(text).error());
  if (found.ok()) return found;
  return fail(
      Code::kFailedPrecondition,
      fmt::format("there are no keys for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write them into "
                  "{} ({})",
                  path, found.error().message()));
}

std::string sha256_hex(std::string_view bytes) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  ::EVP_Digest(bytes.data(), bytes.size(), out, &length, EVP_sha256(), nullptr);
  return hex({reinterpret_cast<const char*>(out), length});
}

std::string percent_encode(std::string_view text, bool slash) {
  std::string out;
  for (const unsigned char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '~' || (slash && c == '/');
    out += plain ? std::string(1, static_cast<char>(c)) : fmt::format("%{:02X}", c);
  }
  return out;
}

std::string S3Request::encoded_path() const { return percent_encode(path, true); }

std::string S3Request::encoded_query() const {
  std::string out;
  for (const auto& [name, value] : query) {
    out += (out.empty() ? "" : "&") + percent_encode(name, false) + "=" + percent_encode(value, false);
  }
  return out;
}

void sign(S3Request& request, const S3Credentials& credentials, const std::string& region, base::WallTime now) {
  const std::time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  std::tm t{};
  ::gmtime_r(&seconds, &t);
  const std::string day = fmt::format("{:04}{:02}{:02}", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday);
  const std::string time = fmt::format("{}T{:02}{:02}{:02}Z", day, t.tm_hour, t.tm_min, t.tm_sec);
  request.headers["x-amz-date"] = time;
  request.headers["x-amz-content-sha256"] = request.body_hash;
  if (!credentials.token.empty()) request.headers["x-amz-security-token"] = credentials.token;
  std::string canonical, names;
  for (const auto& [name, value] : request.headers) {
    canonical += name + ":" + std::string(base::trim(value)) + "\n";
    names += (names.empty() ? "" : ";") + name;
  }
  const std::string text = request.method + "\n" + request.encoded_path() + "\n" + request.encoded_query() + "\n" +
                           canonical + "\n" + names + "\n" + request.body_hash;
  const std::string scope = day + "/" + region + "/s3/aws4_request";
  const std::string to_sign = "AWS4-HMAC-SHA256\n" + time + "\n" + scope + "\n" + sha256_hex(text);
  const std::string key = hmac(hmac(hmac(hmac("AWS4" + credentials.secret, day), region), "s3"), "aws4_request");
  request.headers["authorization"] = fmt::format("AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={}, Signature={}",
                                                 credentials.key_id, scope, names, hex(hmac(key, to_sign)));
}

}  // namespace vitrail::backup
