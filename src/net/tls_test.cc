// TLS between our own client and server, over TCP on this machine; certificates are made by openssl.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"
#include "base/process.h"
#include "base/random.h"
#include "mysql/errors.h"
#include "net/carrier.h"
#include "net/mysql_client.h"
#include "net/mysql_server.h"
#include "net/scope.h"
#include "net/tls.h"

namespace vitrail::net {
namespace {

using namespace std::chrono_literals;

Wait soon() { return Wait::within(20s); }

// Made once: two authorities, certificates of both, and a revocation list.
class Files {
 public:
  static const Files& get() {
    static const Files files;
    return files;
  }
  ~Files() { (void)base::remove_tree(folder_); }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }

 private:
  Files() {
    std::string pattern = (std::filesystem::temp_directory_path() / "net_tls_test_XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    for (const std::string ca : {"ca", "other"}) {
      openssl({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
               "-subj", "/CN=" + ca, "-keyout", ca + ".key", "-out", ca + ".pem"});
    }
    issue("server", "ca", "DNS:localhost,IP:127.0.0.1");
    issue("named", "ca", "DNS:db.example");
    issue("client", "ca", "DNS:client");
    issue("thief", "ca", "DNS:client");
    issue("stranger", "other", "DNS:client");
    EXPECT_TRUE(base::write_file_atomically(path("ca.cnf"),
                                            "[ca]\ndefault_ca = here\n[here]\ndatabase = " + path("index.txt") +
                                                "\ndefault_md = sha256\ndefault_crl_days = 2\n",
                                            0600)
                    .ok());
    EXPECT_TRUE(base::write_file_atomically(path("index.txt"), "", 0600).ok());
    openssl({"ca", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-revoke", "thief.pem"});
    openssl({"ca", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-gencrl", "-out", "crl.pem"});
  }
  void issue(const std::string& name, const std::string& ca, const std::string& names) {
    openssl({"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=" + name,
             "-addext", "subjectAltName=" + names, "-keyout", name + ".key", "-out", name + ".csr"});
    openssl({"x509", "-req", "-in", name + ".csr", "-CA", ca + ".pem", "-CAkey", ca + ".key", "-CAcreateserial",
             "-days", "2", "-copy_extensions", "copy", "-out", name + ".pem"});
  }
  void openssl(std::vector<std::string> args) {
    args.insert(args.begin(), "openssl");
    const auto done = base::run_program({.argv = args, .directory = folder_}, 30s);
    ASSERT_TRUE(done.ok() && done->exit.success()) << (done.ok() ? done->output : done.error().message());
  }
  std::string folder_;
};

std::string file(const std::string& name) { return name.empty() ? "" : Files::get().path(name); }

ServerTlsOptions server_of(const std::string& name, const std::string& ca = "", const std::string& crl = "") {
  ServerTlsOptions options;
  options.files = {.certificate_file = file(name + ".pem"),
                   .key_file = file(name + ".key"),
                   .ca_file = file(ca),
                   .crl_file = file(crl)};
  return options;
}

ClientTlsOptions client_with(TlsMode mode, const std::string& ca = "ca.pem", const std::string& name = "") {
  ClientTlsOptions options;
  options.mode = mode;
  options.files.ca_file = file(ca);
  if (!name.empty()) {
    options.files.certificate_file = file(name + ".pem");
    options.files.key_file = file(name + ".key");
  }
  return options;
}

// What both sides saw of one login, and of one query whose text came back.
struct Seen {
  Status client = {};
  Status server = {};
  bool encrypted = false;
  std::string answer;
};

Task<void> serve(Listener& listener, const mysql::ServerAuthSettings& settings, std::shared_ptr<const TlsContext> tls,
                 Seen& seen) {
  auto fd = co_await listener.accept(soon());
  CHECK(fd.ok());
  auto socket = Socket::adopt(*fd);
  CHECK(socket.ok());
  auto login = co_await accept_login(std::move(*socket), settings, tls, 1, size_t{64} << 20, soon());
  if (!login.ok()) {
    seen.server = std::move(login).error();
    co_return;
  }
  seen.encrypted = login->stream().socket().encrypted();
  if (Status told = co_await login->accept(0, soon()); !told.ok()) {
    seen.server = std::move(told);
    co_return;
  }
  // Echoes the text of each query as an ERR, which may be as long as it likes.
  PacketStream stream = std::move(login->stream());
  for (;;) {
    auto message = co_await stream.read_message(soon());
    if (!message.ok() || !message->has_value() || (*message)->payload.starts_with('\1')) co_return;
    std::string payload, out;
    mysql::encode_err(payload, {1105, "HY000", std::string((*message)->payload.substr(1))},
                      login->client().capabilities);
    mysql::PacketWriter(out, static_cast<uint8_t>((*message)->last_sequence + 1)).message(payload);
    const Wait wait = soon();
    if (!(co_await stream.write(out, wait)).ok()) co_return;
  }
}

Task<Seen> log_in_with(mysql::ServerAuthSettings settings, std::shared_ptr<const TlsContext> server,
                       std::shared_ptr<const TlsContext> client, std::string host, std::string query,
                       std::string password) {
  Seen seen;
  auto listener = Listener::listen_tcp("127.0.0.1", 0);
  CHECK(listener.ok());
  settings.tls_available = server != nullptr;
  Scope scope;
  scope.spawn(serve(*listener, settings, server, seen));
  MysqlClientSettings login;
  login.address = {.host = host, .port = listener->port(), .tls = client};
  login.auth.user = "somebody";
  login.auth.password = password;
  auto connected = co_await MysqlClient::connect(std::move(login), soon());
  if (!connected.ok()) {
    seen.client = std::move(connected).error();
  } else {
    auto answer = co_await connected->query(query, soon());
    CHECK(!answer.ok());
    seen.answer = answer.error().message();
    co_await connected->quit();
  }
  co_await scope.join();
  co_return seen;
}

// Knows everybody by one password, in whatever form it is stored.
class OnePassword : public mysql::AuthProvider {
 public:
  explicit OnePassword(mysql::Credentials credentials) : credentials_(std::move(credentials)) {}
  std::vector<mysql::Credentials> find_user(std::string_view, const mysql::Peer&) const override {
    return {credentials_};
  }

 private:
  const mysql::Credentials credentials_;
};

Task<Seen> log_in(std::shared_ptr<const TlsContext> server, std::shared_ptr<const TlsContext> client, std::string host,
                  std::string query, bool required) {
  mysql::ServerAuthSettings settings;
  settings.require_secure_transport = required;
  co_return co_await log_in_with(settings, server, client, host, query, "");
}

class Tls : public testing::Test {
 protected:
  template <typename T>
  T run(Task<T> task) {
    return block_on(thread_.loop(), std::move(task));
  }
  static std::shared_ptr<const TlsContext> made(Result<std::shared_ptr<const TlsContext>> context) {
    EXPECT_TRUE(context.ok()) << context.error().to_string();
    return context.ok() ? *context : nullptr;
  }
  Seen meet(const ServerTlsOptions& server, const ClientTlsOptions& client, const std::string& host = "127.0.0.1",
            const std::string& query = "hello", bool required = false) {
    return run(
        log_in(made(TlsContext::for_server(server)), made(TlsContext::for_client(client)), host, query, required));
  }
  LoopThread thread_{"test"};
};

void expect_refused(const Status& status, const std::string& text) {
  ASSERT_FALSE(status.ok()) << "expected: " << text;
  EXPECT_NE(status.error().message().find(text), std::string::npos) << status.error().to_string();
}

TEST_F(Tls, LoginAndQueryAreEncrypted) {
  for (const auto& [mode, ca] :
       {std::pair(TlsMode::kPreferred, "other.pem"), std::pair(TlsMode::kRequired, ""),
        std::pair(TlsMode::kVerifyCa, "ca.pem"), std::pair(TlsMode::kVerifyIdentity, "ca.pem")}) {
    const Seen seen = meet(server_of("server"), client_with(mode, ca), "127.0.0.1", "hello", true);
    EXPECT_TRUE(seen.client.ok()) << seen.client.error().to_string();
    EXPECT_TRUE(seen.encrypted);
    EXPECT_NE(seen.answer.find("hello"), std::string::npos) << seen.answer;
  }
  EXPECT_TRUE(meet(server_of("server"), client_with(TlsMode::kVerifyIdentity), "localhost").client.ok());
}

TEST_F(Tls, TwentyMebibytesInBothDirectionsAreExact) {
  std::string text(size_t{20} << 20, 0);
  uint32_t state = 1;
  for (char& c : text) c = static_cast<char>('a' + (state = state * 1664525 + 1013904223) % 26);
  const Seen seen = meet(server_of("server"), client_with(TlsMode::kVerifyIdentity), "127.0.0.1", text);
  ASSERT_TRUE(seen.client.ok()) << seen.client.error().to_string();
  EXPECT_TRUE(seen.answer.ends_with(text));
}

Task<void> begin_tls(Socket& socket, std::shared_ptr<const TlsContext> context) {
  Status started = co_await socket.start_tls(std::move(context), "127.0.0.1", "", soon());
  EXPECT_TRUE(started.ok());
}

Task<void> echo(Socket socket) {
  std::string buffer(10'000, 0);
  const Wait wait = soon();
  for (;;) {
    auto got = co_await socket.read_some(buffer, wait);
    if (!got.ok() || *got == 0) co_return;
    EXPECT_TRUE((co_await socket.write_all(std::string_view(buffer).substr(0, *got), wait)).ok());
  }
}

Task<void> send_and_read_back(Result<Socket> socket, size_t size) {
  EXPECT_TRUE(socket.ok() && socket->encrypted());
  std::string sent(size, 0);
  for (size_t i = 0; i < size; ++i) sent[i] = static_cast<char>('a' + i * i % 26);
  std::string back;
  auto read = [](Socket& from, std::string& out, size_t wanted) -> Task<void> {
    std::string buffer(50'000, 0);
    const Wait wait = soon();
    while (out.size() < wanted) {
      auto got = co_await from.read_some(buffer, wait);
      if (!got.ok() || *got == 0) co_return;
      out.append(buffer, 0, *got);
    }
  };
  Scope scope;
  scope.spawn(read(*socket, back, size));
  const Wait wait = soon();
  EXPECT_TRUE((co_await socket->write_all(sent, wait)).ok());
  co_await scope.join();
  EXPECT_TRUE(back == sent);
}

TEST_F(Tls, AConnectionThatUsesItCarriesStreams) {
  auto body = [](std::shared_ptr<const TlsContext> server, std::shared_ptr<const TlsContext> client) -> Task<void> {
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    auto a = Socket::adopt(ends[0]);
    auto b = Socket::adopt(ends[1]);
    CHECK(a.ok() && b.ok());
    std::vector<Task<void>> handshakes;
    handshakes.push_back(begin_tls(*a, client));
    handshakes.push_back(begin_tls(*b, server));
    co_await when_all(std::move(handshakes));
    Scope scope;
    const auto near = std::make_shared<Carrier>(std::move(*a), kStreamWindow, nullptr, scope.token());
    const auto far = std::make_shared<Carrier>(
        std::move(*b), kStreamWindow, [&scope](Socket stream) { scope.spawn(echo(std::move(stream))); }, scope.token());
    auto serve_it = [](std::shared_ptr<Carrier> carrier) -> Task<void> { EXPECT_TRUE((co_await carrier->run()).ok()); };
    scope.spawn(serve_it(near));
    scope.spawn(serve_it(far));
    std::vector<Task<void>> uses;
    for (const size_t size : {1, 1000, 100'000, 3'000'000}) uses.push_back(send_and_read_back(near->open(), size));
    co_await when_all(std::move(uses));
    scope.request_stop();
    co_await scope.join();
  };
  run(body(made(TlsContext::for_server(server_of("server"))),
           made(TlsContext::for_client(client_with(TlsMode::kVerifyIdentity)))));
}

TEST_F(Tls, ServersThatTheClientDoesNotTrustAreRefused) {
  const auto refused = [&](const std::string& server, const ClientTlsOptions& client, const std::string& text) {
    const Seen seen = meet(server_of(server), client);
    expect_refused(seen.client, text);
    ASSERT_FALSE(seen.server.ok());
    EXPECT_EQ(seen.server.error().mysql_errno(), mysql::errnos::kClientTlsError);
  };
  refused("server", client_with(TlsMode::kVerifyCa, "other.pem"), "refused: unable to get local issuer certificate");
  refused("named", client_with(TlsMode::kVerifyIdentity), "refused: IP address mismatch");
  ClientTlsOptions other_name = client_with(TlsMode::kVerifyIdentity);
  other_name.files.server_name = "else.example";
  refused("named", other_name, "refused: hostname mismatch");
  other_name.files.server_name = "db.example";
  EXPECT_TRUE(meet(server_of("named"), other_name).client.ok());
  EXPECT_TRUE(meet(server_of("named"), client_with(TlsMode::kVerifyCa)).client.ok());
}

TEST_F(Tls, ClientsNeedAGoodCertificateWhereTheServerAsksForOne) {
  const ServerTlsOptions server = server_of("server", "ca.pem", "crl.pem");
  EXPECT_TRUE(meet(server, client_with(TlsMode::kVerifyCa, "ca.pem", "client")).client.ok());
  const auto refused = [&](const std::string& name, const std::string& text) {
    const Seen seen = meet(server, client_with(TlsMode::kVerifyCa, "ca.pem", name));
    EXPECT_FALSE(seen.client.ok()) << name;
    expect_refused(seen.server, text);
    EXPECT_EQ(seen.server.error().mysql_errno(), mysql::errnos::kClientTlsError);
  };
  refused("", "peer did not return a certificate");
  refused("stranger", "refused: unable to get local issuer certificate");
  refused("thief", "refused: certificate revoked");
}

TEST_F(Tls, PasswordsAreCheckedInsideAsOutside) {
  const auto server = made(TlsContext::for_server(server_of("server")));
  const auto client = made(TlsContext::for_client(client_with(TlsMode::kVerifyIdentity)));
  mysql::Credentials fast, full, native;
  fast.sha2 = mysql::sha2_hash("secret");
  full.sha2_stored = mysql::make_sha2_stored("secret", "salt-of-twenty-bytes");
  native.native = mysql::native_hash("secret");
  for (const auto& [credentials, plain_too] :
       {std::pair(fast, true), std::pair(full, false), std::pair(native, true)}) {
    const OnePassword provider(credentials);
    mysql::ServerAuthSettings settings;
    settings.auth_plugin = mysql::kCachingSha2Plugin;
    settings.provider = &provider;
    const auto try_with = [&](bool tls, const std::string& password) {
      return run(log_in_with(settings, tls ? server : nullptr, tls ? client : nullptr, "127.0.0.1", "hello", password))
          .client;
    };
    const Status inside = try_with(true, "secret");
    EXPECT_TRUE(inside.ok()) << inside.error().to_string();
    expect_refused(try_with(true, "wrong"), "Access denied");
    EXPECT_EQ(try_with(false, "secret").ok(), plain_too);  // The full exchange needs TLS: there is no key here.
  }
}

TEST_F(Tls, PlainTextIsRefusedByWhoRequiresTls) {
  const auto server = made(TlsContext::for_server(server_of("server")));
  const Seen plain = run(log_in(server, nullptr, "127.0.0.1", "hello", true));
  expect_refused(plain.client, "insecure transport are prohibited");
  EXPECT_EQ(plain.client.error().mysql_errno(), mysql::errnos::kSecureTransportRequired);
  EXPECT_TRUE(run(log_in(server, nullptr, "127.0.0.1", "hello", false)).client.ok());
  // And a client's wish for TLS is not given up silently, unless it said so.
  const auto strict = made(TlsContext::for_client(client_with(TlsMode::kRequired)));
  expect_refused(run(log_in(nullptr, strict, "127.0.0.1", "hello", false)).client, "TLS is required");
  const Seen modest =
      run(log_in(nullptr, made(TlsContext::for_client(client_with(TlsMode::kPreferred))), "127.0.0.1", "hello", false));
  EXPECT_TRUE(modest.client.ok());
  EXPECT_FALSE(modest.encrypted);
}

TEST_F(Tls, TheHighestLowestVersionCounts) {
  ServerTlsOptions server = server_of("server");
  server.version_min = "TLSv1.3";
  EXPECT_TRUE(meet(server, client_with(TlsMode::kVerifyCa)).client.ok());
  server.version_min = "TLSv1.1";
  const auto context = TlsContext::for_server(server);
  ASSERT_FALSE(context.ok());
  EXPECT_EQ(context.error().message(), "the lowest version of TLS is TLSv1.2 or TLSv1.3, not TLSv1.1");
}

TEST_F(Tls, FilesThatCannotBeUsedAreNamedAndTheOldOnesStay) {
  const auto error_of = [](const ServerTlsOptions& options) {
    ServerTls tls(options, "mysql-server");
    const Status loaded = tls.load();
    EXPECT_EQ(tls.context(), nullptr);
    return loaded.ok() ? "nothing" : loaded.error().message();
  };
  ServerTlsOptions options;
  EXPECT_EQ(error_of(options), "nothing");
  options.required = true;
  EXPECT_NE(error_of(options).find("need --mysql-server-ssl-cert"), std::string::npos);
  options = server_of("server", "", "crl.pem");
  EXPECT_NE(error_of(options).find("--mysql-server-ssl-crl needs --mysql-server-ssl-ca"), std::string::npos);
  options = server_of("server");
  options.files.key_file = file("client.key");
  EXPECT_NE(error_of(options).find("is not that of the certificate"), std::string::npos);
  options = server_of("missing");
  EXPECT_NE(error_of(options).find("missing.pem"), std::string::npos);

  const std::string certificate = file("changing.pem");
  options = server_of("server");
  options.files.certificate_file = certificate;
  std::filesystem::copy_file(file("server.pem"), certificate);
  ServerTls tls(options, "mysql-server");
  ASSERT_TRUE(tls.load().ok());
  const auto first = tls.context();
  ASSERT_TRUE(base::write_file_atomically(certificate, "nothing of use", 0600).ok());
  EXPECT_FALSE(tls.load().ok());
  EXPECT_EQ(tls.context(), first);
  ASSERT_TRUE(base::write_file_atomically(certificate, *base::read_file(file("server.pem")), 0600).ok());
  EXPECT_TRUE(tls.load().ok());
  EXPECT_NE(tls.context(), first);
}

// Two ends of one connection, after a handshake on both.
struct Ends {
  Socket client, server;
};

Task<void> start(Socket& socket, std::shared_ptr<const TlsContext> context, std::string received, Status& status) {
  status = co_await socket.start_tls(std::move(context), "127.0.0.1", std::move(received), soon());
}

Task<Ends> joined(std::shared_ptr<const TlsContext> server, std::shared_ptr<const TlsContext> client) {
  int pair[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  Ends ends{std::move(*Socket::adopt(pair[0])), std::move(*Socket::adopt(pair[1]))};
  Status at_client, at_server;
  Scope scope;
  // The client's first message is on its way before the server reads anything: handed over as read already, as it is
  // when it comes in one piece with the request for TLS.
  scope.spawn(start(ends.client, std::move(client), "", at_client));
  std::string received(3, 0);
  const Wait wait = soon();
  auto got = co_await ends.server.read_some({received.data(), received.size()}, wait);
  CHECK(got.ok() && *got == received.size());
  scope.spawn(start(ends.server, std::move(server), received, at_server));
  co_await scope.join();
  CHECK(at_client.ok() && at_server.ok());
  co_return ends;
}

TEST_F(Tls, BytesThatCameWithTheRequestBelongToTheHandshake) {
  const auto server = made(TlsContext::for_server(server_of("server")));
  const auto client = made(TlsContext::for_client(client_with(TlsMode::kVerifyIdentity)));
  auto body = [](auto at_server, auto at_client) -> Task<std::string> {
    Ends ends = co_await joined(at_server, at_client);
    const Wait wait = soon();
    CHECK((co_await ends.client.write_all("over TLS", wait)).ok());
    char buffer[64];
    auto got = co_await ends.server.read_some(buffer, wait);
    std::string text(buffer, got.ok() ? *got : 0);
    CHECK(!ends.server.has_input());
    ends.client.close();
    got = co_await ends.server.read_some(buffer, wait);
    co_return text + (got.ok() && *got == 0 ? ", ended" : ", broken");
  };
  EXPECT_EQ(run(body(server, client)), "over TLS, ended");
}

TEST_F(Tls, TimeoutsAndAbortsEndWaitsAndMoreIsReadAfterwards) {
  const auto server = made(TlsContext::for_server(server_of("server")));
  const auto client = made(TlsContext::for_client(client_with(TlsMode::kVerifyIdentity)));
  auto body = [](auto at_server, auto at_client) -> Task<std::string> {
    Ends ends = co_await joined(at_server, at_client);
    char buffer[64];
    const Wait brief = Wait::within(5ms);
    auto got = co_await ends.server.read_some(buffer, brief);
    std::string text = got.ok() || got.error().code() != Code::kDeadlineExceeded ? "no timeout" : "timeout";
    const Wait wait = soon();
    CHECK((co_await ends.client.write_all("later", wait)).ok());
    // In pieces smaller than the record: the rest needs no event.
    char piece[2];
    for (int i = 0; i < 3; ++i) {
      got = co_await ends.server.read_some(piece, wait);
      text += " " + std::string(piece, got.ok() ? *got : 0);
    }
    Scope scope;
    Status ended;
    auto reader = [](Socket& socket, Status& status) -> Task<void> {
      char here[8];
      const Wait long_wait = soon();
      auto bytes = co_await socket.read_some(here, long_wait);
      if (!bytes.ok() || *bytes != 0) status = fail(Code::kInternal, "not the end");
    };
    scope.spawn(reader(ends.server, ended));
    ends.server.abort();
    co_await scope.join();
    co_return text + (ended.ok() ? " end" : " other");
  };
  EXPECT_EQ(run(body(server, client)), "timeout la te r end");
}

// What a stranger may send where TLS should begin: refused with an error, whatever it is.
TEST_F(Tls, AnythingElseThanTlsEndsTheLogin) {
  const auto server = made(TlsContext::for_server(server_of("server")));
  auto body = [](auto context, std::string bytes, bool hang_up) -> Task<Status> {
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    Socket socket = std::move(*Socket::adopt(pair[0]));
    CHECK(write(pair[1], bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    if (hang_up) shutdown(pair[1], SHUT_WR);
    Status status = co_await socket.start_tls(context, "", "", Wait::within(hang_up ? base::Duration(20s) : 50ms));
    close(pair[1]);
    co_return status;
  };
  base::Random& random = base::system_random();
  for (size_t size = 0; size < 300; size += 7) {
    std::string noise(size, 0);
    for (char& c : noise) c = static_cast<char>(random.next_u64());
    EXPECT_FALSE(run(body(server, noise, true)).ok());
    // A beginning that looks like TLS.
    std::string hello = "\x16\x03\x01" + std::string(1, '\0') + static_cast<char>(size) + noise;
    EXPECT_FALSE(run(body(server, hello, true)).ok());
  }
  const Status silent = run(body(server, "", false));
  ASSERT_FALSE(silent.ok());
  EXPECT_EQ(silent.error().code(), Code::kDeadlineExceeded);
  EXPECT_FALSE(run(body(server, "select 1 from plain_text where tls = 'no'", true)).ok());
}

}  // namespace
}  // namespace vitrail::net
