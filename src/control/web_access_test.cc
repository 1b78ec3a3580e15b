#include "control/web_access.h"

#include "control/caller_name.h"

#include <gtest/gtest.h>

namespace vitrail::control {
namespace {

struct Case {
  const char* name;
  WebAccess access;
  std::map<std::string, std::string> headers;
  std::string peer_subject;
  Code code;  // kOk: the command is run.
};

Status known_caller(const rpc::CallContext& caller) {
  if (caller.find_metadata("username") == "operator" && caller.find_metadata("password") == "a:b") return {};
  if (caller.peer_subject == "CN=operator") return {};
  return fail(Code::kPermissionDenied, "nobody knows this caller");
}

WebAccess local() { return {.http_host = "127.0.0.1"}; }
WebAccess open_to_all(rpc::ServerSecurity grpc = {}) { return {.http_host = "0.0.0.0", .grpc = std::move(grpc)}; }
WebAccess with_passwords(std::string host = "127.0.0.1") {
  return {.http_host = std::move(host), .grpc = {.auth_mode = "static"}, .authenticate = known_caller};
}
WebAccess with_certificates(bool http_asks) {
  return {.http_host = "0.0.0.0",
          .asks_certificates = http_asks,
          .grpc = {.tls = {.ca_file = "ca.pem"}, .auth_mode = "mtls"},
          .authenticate = known_caller};
}

constexpr const char* kUser = "Basic b3BlcmF0b3I6YTpi";      // operator:a:b
constexpr const char* kStranger = "basic b3BlcmF0b3I6bm8=";  // operator:no

TEST(WebAccess, LetsInWhomGrpcLetsIn) {
  const std::map<std::string, std::string> ours = {{"origin", "http://localhost:1"}, {"host", "localhost:1"}};
  const Case cases[] = {
      {"a tool on this machine", local(), {}, "", Code::kOk},
      {"our page", local(), ours, "", Code::kOk},
      {"our page, as new browsers say",
       local(),
       {{"sec-fetch-site", "same-origin"}, {"host", "[::1]:1"}},
       "",
       Code::kOk},
      {"our page over TLS", local(), {{"origin", "https://[::1]:1"}, {"host", "[::1]:1"}}, "", Code::kOk},
      {"another site", local(), {{"origin", "http://a.example"}, {"host", "localhost:1"}}, "", Code::kPermissionDenied},
      {"a site whose name ends like ours",
       local(),
       {{"origin", "http://x://localhost:1"}, {"host", "localhost:1"}},
       "",
       Code::kPermissionDenied},
      {"another port",
       local(),
       {{"origin", "http://localhost:2"}, {"host", "localhost:1"}},
       "",
       Code::kPermissionDenied},
      {"a page without origin", local(), {{"origin", "null"}, {"host", "localhost:1"}}, "", Code::kPermissionDenied},
      {"an origin, no host", local(), {{"origin", "http://localhost:1"}}, "", Code::kPermissionDenied},
      {"cross-site by its own word", local(), {{"sec-fetch-site", "cross-site"}}, "", Code::kPermissionDenied},
      {"same-site is not same-origin", local(), {{"sec-fetch-site", "same-site"}}, "", Code::kPermissionDenied},
      {"a name that was made to lead here",
       local(),
       {{"origin", "http://a.example:1"}, {"host", "a.example:1"}},
       "",
       Code::kPermissionDenied},
      {"a name that leads here, without an origin",
       local(),
       {{"sec-fetch-site", "same-origin"}, {"host", "a.example:1"}},
       "",
       Code::kPermissionDenied},
      {"our page, without an origin",
       local(),
       {{"sec-fetch-site", "same-origin"}, {"host", "localhost:1"}},
       "",
       Code::kOk},
      {"reachable by others", open_to_all(), {}, "", Code::kPermissionDenied},
      {"reachable, as the operator wants it", open_to_all({.allow_insecure = true}), {}, "", Code::kOk},
      {"a password is asked", with_passwords(), {}, "", Code::kUnauthenticated},
      {"a wrong one", with_passwords(), {{"authorization", kStranger}}, "", Code::kUnauthenticated},
      {"another scheme", with_passwords(), {{"authorization", "Bearer b3BlcmF0b3I6YTpi"}}, "", Code::kUnauthenticated},
      {"no base64", with_passwords(), {{"authorization", "Basic ***"}}, "", Code::kUnauthenticated},
      {"the right one", with_passwords(), {{"authorization", kUser}}, "", Code::kOk},
      {"the right one, from afar", with_passwords("0.0.0.0"), {{"authorization", kUser}}, "", Code::kOk},
      {"the right one, sent by another site",
       with_passwords(),
       {{"authorization", kUser}, {"origin", "http://a.example"}, {"host", "localhost:1"}},
       "",
       Code::kPermissionDenied},
      {"gRPC asks for certificates, HTTP does not", with_certificates(false), {}, "", Code::kPermissionDenied},
      {"a certificate", with_certificates(true), {}, "CN=operator", Code::kOk},
      {"of somebody else", with_certificates(true), {}, "CN=guest", Code::kPermissionDenied},
      {"HTTP asks for certificates, gRPC for nothing",
       {.http_host = "0.0.0.0", .asks_certificates = true},
       {},
       "CN=anybody",
       Code::kOk},
      {"gRPC's authorities, no mode",
       {.http_host = "127.0.0.1", .grpc = {.tls = {.ca_file = "ca.pem"}}},
       {},
       "",
       Code::kPermissionDenied},
  };
  for (const Case& c : cases) {
    const Status got = c.access.check({.method = "POST", .headers = c.headers, .peer_subject = c.peer_subject});
    EXPECT_EQ(got.ok() ? Code::kOk : got.error().code(), c.code)
        << c.name << ": " << (got.ok() ? "let in" : got.error().message());
  }
}

TEST(WebAccess, TellsWhoItIs) {
  const auto caller = [](const WebAccess& access, std::map<std::string, std::string> headers, std::string subject) {
    rpc::HttpRequest request;
    request.headers = std::move(headers);
    request.peer_subject = std::move(subject);
    return access.caller_of(request);
  };
  EXPECT_EQ(caller(local(), {}, ""), "an unnamed HTTP client");
  EXPECT_EQ(caller(local(), {{"authorization", kUser}}, ""), "an unnamed HTTP client");  // Nobody has looked at it.
  EXPECT_EQ(caller(with_passwords(), {{"authorization", kUser}}, ""), "operator");
  EXPECT_EQ(caller(with_certificates(true), {}, "CN=operator"), "CN=operator");
}

TEST(CallerName, IsWhatWasProvedOrSaid) {
  rpc::CallContext context;
  EXPECT_EQ(caller_of(context), "");
  EXPECT_EQ(caller_of(context, "me@here"), "me@here");  // A call of this process.
  context.peer = "ipv4:10.0.0.7:51234";
  EXPECT_EQ(caller_of(context), "10.0.0.7");
  EXPECT_EQ(caller_of(context, "me@here"), "me@here");
  context.metadata = {{"username", "operator"}};
  EXPECT_EQ(caller_of(context, "me@here"), "operator");
  context.peer_subject = "CN=ann";
  EXPECT_EQ(caller_of(context, "me@here"), "CN=ann");
}

}  // namespace
}  // namespace vitrail::control
