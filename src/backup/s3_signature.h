#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

// Requests to S3 are signed by version 4 of Amazon's scheme (Amazon S3 API reference, "Authenticating Requests: Using
// the Authorization Header").
namespace vitrail::backup {

struct S3Credentials {
  std::string key_id, secret, token;  // `token`: of temporary ones.
};
// From AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, else from the profile AWS_PROFILE ("default") of
// the file AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials). kFailedPrecondition: there are none.
Result<S3Credentials> find_s3_credentials();
// Of a profile in such a file's text.
Result<S3Credentials> parse_s3_credentials(std::string_view text, std::string_view profile);

struct S3Request {
  std::string method;
  std::string path;                            // Not encoded: "/bucket/a b".
  std::map<std::string, std::string> query;    // Likewise.
  std::map<std::string, std::string> headers;  // Names in lower case; `host` among them.
  std::string body_hash;                       // sha256_hex().

  // As they are sent.
  std::string encoded_path() const;
  std::string encoded_query() const;
};

// What is added to the headers: x-amz-date, x-amz-content-sha256, x-amz-security-token, authorization.
void sign(S3Request& request, const S3Credentials& credentials, const std::string& region, base::WallTime now);

std::string sha256_hex(std::string_view bytes);
// RFC 3986: all but letters, digits and "-._~" as %XX; `slash`: slashes stay.
std::string percent_encode(std::string_view text, bool slash);

}  // namespace vitrail::backup
