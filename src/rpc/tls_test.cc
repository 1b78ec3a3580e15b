// Who may call a gRPC server: certificates made by openssl for the test, passwords, and the settings for both.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"
#include "base/metrics.h"
#include "base/process.h"
#include "base/settings.h"
#include "net/loop.h"
#include "net/socket.h"
#include "net/tls.h"
#include "rpc/client.h"
#include "rpc/http.h"
#include "rpc/security.h"
#include "rpc/server.h"

namespace vitrail::rpc {
namespace {

using namespace std::chrono_literals;
using testing::Test;

constexpr char kEcho[] = "/test.Service/Echo";
constexpr char kTwice[] = "/test.Service/Twice";

// Files that cost time to make, once for all tests: two authorities, a server, clients and a revocation list.
class Files {
 public:
  static const Files& get() {
    static const Files files;
    return files;
  }
  ~Files() { (void)base::remove_tree(folder_); }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string write(const std::string& name, const std::string& text) const {
    EXPECT_TRUE(base::write_file_atomically(path(name), text, 0600).ok());
    return path(name);
  }

 private:
  Files() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tls_test_XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    for (const std::string ca : {"ca", "other"}) {
      openssl({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
               "-subj", "/CN=" + ca, "-keyout", ca + ".key", "-out", ca + ".pem"});
    }
    issue("server", "ca", "/CN=tablet/O=vitrail", "2");
    issue("client", "ca", "/CN=vtctld/O=vitrail", "2");
    issue("thief", "ca", "/CN=thief/O=vitrail", "2");
    issue("stranger", "other", "/CN=vtctld/O=vitrail", "2");
    issue("late", "ca", "/CN=vtctld/O=vitrail", "-1");
    write("ca.cnf", "[ca]\ndefault_ca = here\n[here]\ndatabase = " + path("index.txt") +
                        "\ndefault_md = sha256\n"
                        "default_crl_days = 2\n");
    write("index.txt", "");
    openssl({"ca", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-revoke", "thief.pem"});
    openssl({"ca", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-gencrl", "-out", "crl.pem"});
  }
  void issue(const std::string& name, const std::string& ca, const std::string& subject, const std::string& days) {
    openssl({"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", subject, "-addext",
             "subjectAltName=DNS:tablet", "-keyout", name + ".key", "-out", name + ".csr"});
    openssl({"x509", "-req", "-in", name + ".csr", "-CA", ca + ".pem", "-CAkey", ca + ".key", "-CAcreateserial",
             "-days", days, "-copy_extensions", "copy", "-out", name + ".pem"});
  }
  void openssl(std::vector<std::string> args) {
    args.insert(args.begin(), "openssl");
    const auto done = base::run_program({.argv = args, .directory = folder_}, 30s);
    ASSERT_TRUE(done.ok() && done->exit.success()) << (done.ok() ? done->output : done.error().message());
  }
  std::string folder_;
};

class TlsTest : public Test {
 public:
  ~TlsTest() override {
    if (server_ != nullptr) net::block_on(thread_.loop(), server_->stop(0s));
  }
  static std::string file(const std::string& name) { return Files::get().path(name); }
  static TlsOptions identity(const std::string& name) {
    return {.certificate_file = file(name + ".pem"),
            .key_file = file(name + ".key"),
            .ca_file = file("ca.pem"),
            .server_name = "tablet"};
  }

  // Starts with the settings of `flags`, read as the programs do.
  Status start(std::vector<std::string> flags, std::string host = "127.0.0.1") {
    base::Settings settings("test", "");
    ServerSecurity security;
    declare(settings, security);
    const auto parsed = settings.parse(flags);
    if (!parsed.ok()) return parsed.error();
    ServerOptions options{.host = std::move(host), .metrics = &metrics_};
    RETURN_IF_ERROR(secure(security, options));
    auto server = std::make_unique<Server>(std::move(options));
    server->handle_unary(kEcho, thread_.loop(), [](CallContext context, std::string request) {
      return echo(std::move(context), std::move(request));
    });
    server->handle_server_stream(kTwice, thread_.loop(), [](CallContext, std::string request, Writer& writer) {
      return twice(std::move(request), writer);
    });
    RETURN_IF_ERROR(server->start());
    server_ = std::move(server);
    return {};
  }
  static net::Task<Result<std::string>> echo(CallContext context, std::string request) {
    co_return request + " " + context.peer_subject;
  }

  static net::Task<Status> twice(std::string request, Writer& writer) {
    CO_RETURN_IF_ERROR(co_await writer.write(request));
    CO_RETURN_IF_ERROR(co_await writer.write(request));
    co_return fail(Code::kAborted, "after two");
  }

  Result<std::string> call(ChannelOptions options) {
    auto channel = Channel::create("127.0.0.1:" + std::to_string(server_->port()), std::move(options));
    if (!channel.ok()) return channel.error();
    return net::block_on(thread_.loop(), (*channel)->call(kEcho, "hello", net::Wait::within(20s)));
  }
  Result<std::string> call_as(const std::string& name) { return call({.tls = identity(name)}); }

  static void expect_refused(const Result<std::string>& answer, Code code, const std::string& text) {
    ASSERT_FALSE(answer.ok());
    EXPECT_EQ(answer.error().code(), code) << answer.error().message();
    EXPECT_NE(answer.error().message().find(text), std::string::npos) << answer.error().message();
  }
  std::string metric(const std::string& line) {
    const std::string text = metrics_.to_prometheus();
    const size_t at = text.find("\n" + line + " ");
    return at == std::string::npos ? ""
                                   : text.substr(at + line.size() + 2, text.find('\n', at + 1) - at - line.size() - 2);
  }

  net::LoopThread thread_{"test"};
  base::Metrics metrics_{"test"};
  std::unique_ptr<Server> server_;
};

TEST_F(TlsTest, OnlyClientsWithAGoodCertificateAreLetIn) {
  ASSERT_TRUE(start({"--grpc-cert", file("server.pem"), "--grpc_key", file("server.key"), "--grpc-ca", file("ca.pem"),
                     "--grpc-crl", file("crl.pem")})
                  .ok());
  EXPECT_EQ(call_as("client").value(), "hello O=vitrail,CN=vtctld");
  expect_refused(call({.tls = {.ca_file = file("ca.pem"), .server_name = "tablet"}}), Code::kUnauthenticated,
                 "only clients with a certificate");
  expect_refused(call_as("stranger"), Code::kUnauthenticated,
                 "O=vitrail,CN=vtctld is refused: unable to get local issuer");
  expect_refused(call_as("late"), Code::kUnauthenticated, "certificate has expired");
  expect_refused(call_as("thief"), Code::kUnauthenticated, "CN=thief is refused: certificate revoked");
  EXPECT_EQ(metric("test_grpc_server_refused_peers{reason=\"certificate\"}"), "4");
  expect_refused(call({}), Code::kUnavailable, "");  // Plain text.
}

TEST_F(TlsTest, ClientsRefuseAServerOfAnotherAuthority) {
  ASSERT_TRUE(start({"--grpc-cert", file("server.pem"), "--grpc-key", file("server.key")}).ok());
  EXPECT_EQ(call({.tls = {.ca_file = file("ca.pem"), .server_name = "tablet"}}).value(), "hello ");
  expect_refused(call({.tls = {.ca_file = file("other.pem"), .server_name = "tablet"}}), Code::kUnavailable,
                 "certificate verify failed");
  expect_refused(call({.tls = {.ca_file = file("ca.pem"), .server_name = "elsewhere"}}), Code::kUnavailable, "");
}

TEST_F(TlsTest, ModeMtlsLetsInOnlyNamesThatAreAllowed) {
  ASSERT_TRUE(start({"--grpc-cert", file("server.pem"), "--grpc-key", file("server.key"), "--grpc-ca", file("ca.pem"),
                     "--grpc-auth-mode", "mtls", "--grpc-auth-mtls-allowed-substrings", "CN=vtgate:CN=vtctld"})
                  .ok());
  EXPECT_TRUE(call_as("client").ok());
  expect_refused(call_as("thief"), Code::kUnauthenticated, "client certificate not authorized: O=vitrail,CN=thief");
  EXPECT_EQ(metric("test_grpc_server_refused_peers{reason=\"credentials\"}"), "1");
}

TEST_F(TlsTest, ModeStaticAsksForAPassword) {
  const std::string users = Files::get().write(
      "users.json", R"([{"Username": "vtctld", "Password": "old"}, {"Username": "vtctld", "Password": "new"}])");
  ASSERT_TRUE(start({"--grpc-auth-mode=static", "--grpc-auth-static-password-file", users}).ok());
  for (const std::string password : {"old", "new"}) {
    ClientSecurity client;
    client.static_credentials_file =
        Files::get().write("me.json", R"({"Username": "vtctld", "Password": ")" + password + "\"}");
    EXPECT_TRUE(call(channel_options(client, {}).value()).ok());
  }
  expect_refused(call({}), Code::kUnauthenticated, "username and a password");
  expect_refused(call({.metadata = {{"username", "vtctld"}, {"password", "ne"}}}), Code::kPermissionDenied, "vtctld");
  expect_refused(call({.metadata = {{"username", "root"}, {"password", "new"}}}), Code::kPermissionDenied, "root");
  EXPECT_EQ(metric("test_grpc_server_refused_peers{reason=\"credentials\"}"), "3");
}

TEST_F(TlsTest, AnAddressThatStrangersReachNeedsSecurityOrAWord) {
  for (const std::string host : {"0.0.0.0", ""}) {
    const Status refused = start({}, host);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code(), Code::kFailedPrecondition);
    EXPECT_NE(refused.error().message().find("--grpc-allow-insecure"), std::string::npos);
  }
  ASSERT_TRUE(start({"--grpc_allow_insecure"}, "0.0.0.0").ok());
  EXPECT_TRUE(call({}).ok());
  EXPECT_EQ(metric("test_grpc_server_insecure"), "1");
  for (const char* host : {"127.0.0.1", "127.1.2.3", "::1", "localhost"}) EXPECT_TRUE(is_loopback(host)) << host;
  for (const char* host : {"", "0.0.0.0", "::", "10.0.0.1", "example.com", "127.example.com"})
    EXPECT_FALSE(is_loopback(host)) << host;
}

TEST_F(TlsTest, SettingsThatMakeNoSenseAreNamed) {
  const std::string cert = file("server.pem");
  const std::string key = file("server.key");
  const std::string text = Files::get().write("text.pem", "no certificate");
  struct Case {
    std::vector<std::string> flags;
    std::string message;
  };
  for (const Case& wrong : std::vector<Case>{
           {{"--grpc-key", key}, "need --grpc-cert"},
           {{"--grpc-cert", cert}, "together"},
           {{"--grpc-cert", file("none.pem"), "--grpc-key", key}, "none.pem"},
           {{"--grpc-cert", text, "--grpc-key", key}, "text.pem has no certificate"},
           {{"--grpc-cert", cert, "--grpc-key", text}, "text.pem has no private key"},
           {{"--grpc-cert", cert, "--grpc-key", file("client.key")}, "is not that of the certificate"},
           {{"--grpc-cert", cert, "--grpc-key", key, "--grpc-ca", text}, "text.pem has no certificate"},
           {{"--grpc-cert", cert, "--grpc-key", key, "--grpc-ca", file("ca.pem"), "--grpc-crl", text},
            "revocation list"},
           {{"--grpc-cert", cert, "--grpc-key", key, "--grpc-crl", file("crl.pem")}, "--grpc-crl needs --grpc-ca"},
           {{"--grpc-auth-mode", "static"}, "--grpc-auth-static-password-file"},
           {{"--grpc-auth-mode", "static", "--grpc-auth-static-password-file", text}, "not valid JSON"},
           {{"--grpc-auth-static-password-file", text}, "needs --grpc-auth-mode static"},
           {{"--grpc-auth-mode", "mtls"}, "--grpc-ca"},
           {{"--grpc-auth-mtls-allowed-substrings", "x"}, "needs --grpc-auth-mode mtls"},
           {{"--grpc-auth-mode", "ldap"}, "expected one of"}}) {
    const Status started = start(wrong.flags);
    ASSERT_FALSE(started.ok()) << wrong.message;
    EXPECT_NE(started.error().message().find(wrong.message), std::string::npos) << started.error().message();
  }
  EXPECT_EQ(Channel::create("127.0.0.1:1", {.tls = {.ca_file = file("none.pem")}}).error().code(), Code::kNotFound);
  ClientSecurity client;
  client.static_credentials_file = text;
  EXPECT_NE(channel_options(client, {}).error().message().find("--grpc-auth-static-client-creds"), std::string::npos);
}

// The HTTP port of every program.
class HttpTlsTest : public Test {
 protected:
  Status start(const std::vector<std::string>& flags) {
    base::Settings settings("test", "");
    HttpOptions options;
    options.program = "test";
    declare(settings, options);
    const auto parsed = settings.parse(flags);
    if (!parsed.ok()) return parsed.error();
    auto server = std::make_unique<HttpServer>(options);
    server->handle("/who",
                   [](const HttpRequest& request) { return HttpResponse{.body = "[" + request.peer_subject + "]"}; });
    RETURN_IF_ERROR(server->start());
    server_ = std::move(server);
    return {};
  }
  // The answer of GET /who as this client; "": in plain text.
  std::string ask(const std::string& client) {
    net::ClientTlsOptions tls{.files = TlsTest::identity(client), .mode = net::TlsMode::kVerifyIdentity};
    if (client == "nobody") tls.files.certificate_file = tls.files.key_file = "";
    if (client.empty()) tls.mode = net::TlsMode::kDisabled;
    const auto context = net::TlsContext::for_client(tls);
    EXPECT_TRUE(context.ok()) << context.error().message();
    const auto fetch = [](uint16_t port,
                          std::shared_ptr<const net::TlsContext> with) -> net::Task<Result<std::string>> {
      const net::Wait wait = net::Wait::within(20s);
      CO_ASSIGN_OR_RETURN(auto socket, co_await net::Socket::connect_tcp("127.0.0.1", port, wait));
      if (with != nullptr) CO_RETURN_IF_ERROR(co_await socket.start_tls(with, "tablet", "", wait));
      CO_RETURN_IF_ERROR(co_await socket.write_all("GET /who HTTP/1.0\r\nConnection: close\r\n\r\n", wait));
      std::string answer;
      std::string buffer(4096, '\0');
      for (;;) {
        const auto read = co_await socket.read_some(buffer, wait);
        if (!read.ok() || *read == 0) co_return answer;
        answer.append(buffer, 0, *read);
      }
    };
    const auto answer = net::block_on(thread_.loop(), fetch(server_->port(), *context));
    return answer.ok() ? *answer : answer.error().message();
  }
  static std::string file(const std::string& name) { return TlsTest::file(name); }

  net::LoopThread thread_{"http_tls_test"};
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpTlsTest, SpeaksTlsAndNothingElse) {
  ASSERT_TRUE(start({"--http-tls-cert", file("server.pem"), "--http-tls-key", file("server.key")}).ok());
  EXPECT_NE(ask("nobody").find("200 OK"), std::string::npos);
  EXPECT_NE(ask("nobody").find("[]"), std::string::npos);
  EXPECT_EQ(ask("").find("200"), std::string::npos);
}

TEST_F(HttpTlsTest, LetsInOnlyClientsWithAGoodCertificate) {
  ASSERT_TRUE(start({"--http-tls-cert", file("server.pem"), "--http-tls-key", file("server.key"), "--http-tls-ca",
                     file("ca.pem"), "--http-tls-crl", file("crl.pem")})
                  .ok());
  EXPECT_NE(ask("client").find("[O=vitrail,CN=vtctld]"), std::string::npos);
  for (const auto& [client, why] : {std::pair("nobody", "only clients with a certificate"),
                                    {"thief", "revoked"},
                                    {"late", "expired"},
                                    {"stranger", "is refused"}}) {
    const std::string answer = ask(client);
    EXPECT_EQ(answer.find("200 OK"), std::string::npos) << client;
    EXPECT_NE(answer.find("403"), std::string::npos) << client << ": " << answer;
    EXPECT_NE(answer.find(why), std::string::npos) << client << ": " << answer;
  }
}

TEST_F(HttpTlsTest, RefusesFlagsThatMakeNoSense) {
  EXPECT_NE(start({"--http-tls-key", file("server.key")}).error().message().find("need --http-tls-cert"),
            std::string::npos);
  EXPECT_NE(start({"--http-tls-cert", file("server.pem"), "--http-tls-key", file("server.key"), "--http-tls-crl",
                   file("crl.pem")})
                .error()
                .message()
                .find("needs --http-tls-ca"),
            std::string::npos);
  EXPECT_EQ(start({"--http-tls-cert", file("none.pem"), "--http-tls-key", file("server.key")}).error().code(),
            Code::kNotFound);
}

TEST_F(TlsTest, AHandlerCanBeCalledWithoutAConnection) {
  ASSERT_TRUE(start({}).ok());
  net::LoopThread other("other");
  EXPECT_EQ(net::block_on(other.loop(), server_->in_process()(kEcho, "here", net::Wait::within(20s))).value(), "here ");
  EXPECT_EQ(net::block_on(other.loop(), server_->in_process()("/none", "", net::Wait::within(20s))).error().code(),
            Code::kUnimplemented);
  std::string taken;
  const Status done = net::block_on(
      other.loop(), server_->stream_local(kTwice, "here ", [&](const std::string& message) { taken += message; }, {}));
  EXPECT_EQ(taken, "here here ");
  EXPECT_EQ(done.error().code(), Code::kAborted);
}

}  // namespace
}  // namespace vitrail::rpc
