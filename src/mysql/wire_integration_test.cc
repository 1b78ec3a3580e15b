// Our client side against a real MariaDB server, and our server side against the real `mariadb` client.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

#include "base/process.h"
#include "mysql/auth_static.h"
#include "mysql/client_handshake.h"
#include "mysql/convert.h"
#include "mysql/packet.h"
#include "mysql/response_scanner.h"
#include "mysql/server_handshake.h"
#include "mysql/statements.h"

namespace vitrail::mysql {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;
using Row = std::vector<std::optional<std::string>>;

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/vitrail_wire_XXXXXX";
    if (mkdtemp(name) != nullptr) path_ = name;
  }
  ~Folder() {
    if (!path_.empty()) std::filesystem::remove_all(path_);
  }
  std::string operator/(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  return address;
}

// A socket with a receive buffer.
struct Stream {
  explicit Stream(int descriptor) : fd(descriptor) {}
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() {
    if (fd >= 0) ::close(fd);
  }

  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  bool receive() {
    char bytes[16384];
    const ssize_t size = ::read(fd, bytes, sizeof(bytes));
    if (size <= 0) return false;
    in.append(bytes, static_cast<size_t>(size));
    return true;
  }
  // The next message; false at the end of the stream.
  bool message(std::string& payload, uint8_t& sequence) {
    while (true) {
      const auto found = reader.next(in);
      if (!found.ok()) return false;
      if (found->has_value()) {
        payload = (*found)->payload;
        sequence = (*found)->last_sequence;
        in.erase(0, (*found)->consumed);
        return true;
      }
      if (!receive()) return false;
    }
  }

  int fd;
  std::string in;
  MessageReader reader;
};

// --- A real server ---

class MariadbServer {
 public:
  MariadbServer() {
    const auto install =
        base::run_program({.argv = {"mariadb-install-db", "--no-defaults", "--user=root", "--skip-test-db",
                                    "--auth-root-authentication-method=normal", "--datadir=" + folder_ / "data"}},
                          seconds(60));
    if (!install.ok() || !install->exit.success()) return;
    // setpriv ends the server even if this process crashes.
    auto child = base::ChildProcess::spawn(
        {.argv = {"setpriv", "--pdeathsig", "KILL", "mariadbd", "--no-defaults", "--user=root",
                  "--datadir=" + folder_ / "data", "--socket=" + socket(), "--pid-file=" + folder_ / "pid",
                  "--skip-networking", "--innodb-buffer-pool-size=16M", "--max-allowed-packet=64M", "--local-infile=1",
                  "--sql-mode="},
         .stdout_path = folder_ / "log",
         .stderr_path = folder_ / "log"});
    if (!child.ok()) return;
    child_.emplace(std::move(*child));
    const auto deadline = steady_clock::now() + seconds(30);
    while (!ready_ && steady_clock::now() < deadline && !child_->poll().value_or(std::nullopt)) {
      const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const sockaddr_un address = address_of(socket());
      ready_ = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
      ::close(fd);
      if (!ready_) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  ~MariadbServer() {
    if (child_) (void)child_->stop(seconds(0));
  }
  bool ready() const { return ready_; }
  std::string socket() const { return folder_ / "s.sock"; }

 private:
  Folder folder_;
  std::optional<base::ChildProcess> child_;
  bool ready_ = false;
};

class Connection {
 public:
  Connection(const std::string& socket, Capabilities capabilities)
      : stream_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_un address = address_of(socket);
    if (::connect(stream_.fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return;
    ClientAuthSettings settings;
    settings.user = "root";
    settings.secure_transport = true;
    settings.capabilities = capabilities;
    ClientHandshake login(settings);
    std::string payload, out;
    uint8_t sequence = 0;
    auto next = ClientHandshake::Next::kRead;
    while (next == ClientHandshake::Next::kRead && stream_.message(payload, sequence)) {
      out.clear();
      next = login.on_message(sequence, payload, out);
      stream_.send(out);
    }
    open_ = next == ClientHandshake::Next::kDone;
    capabilities_ = login.capabilities();
    version_ = login.server().server_version;
  }

  bool open() const { return open_; }
  Capabilities capabilities() const { return capabilities_; }
  const std::string& version() const { return version_; }
  const ResponseScanner& scanner() const { return scanner_; }
  const ResponseScanner::Summary& summary() const { return scanner_.summary(); }

  // Sends a command and returns its whole response as bytes. Answers a LOCAL INFILE request with `file`.
  std::string command(ResponseKind kind, std::string_view payload, std::string_view file = {}) {
    std::string out;
    PacketWriter(out).message(payload);
    stream_.send(out);
    scanner_.start(kind, capabilities_);
    std::string response;
    while (true) {
      const auto outcome = scanner_.feed(stream_.in);
      response.append(stream_.in, 0, outcome.consumed);
      stream_.in.erase(0, outcome.consumed);
      EXPECT_NE(outcome.state, ResponseScanner::State::kMalformed);
      if (outcome.state == ResponseScanner::State::kDone || outcome.state == ResponseScanner::State::kMalformed)
        return response;
      if (outcome.state == ResponseScanner::State::kInfile) {
        out.clear();
        PacketWriter writer(out, scanner_.next_sequence());
        writer.message(file);
        writer.message("");
        stream_.send(out);
        scanner_.infile_sent(static_cast<uint8_t>(writer.sequence() - 1));
      } else if (!outcome.status.present() && !stream_.receive()) {
        ADD_FAILURE() << "the server closed the connection";
        return response;
      }
    }
  }
  std::string query(std::string_view sql, std::string_view file = {}) {
    std::string payload;
    encode_query(payload, sql, {}, capabilities_);
    return command(ResponseKind::kQuery, payload, file);
  }
  void run(std::string_view sql) {
    query(sql);
    EXPECT_FALSE(scanner_.error()) << sql << ": " << scanner_.error()->message;
  }

 private:
  Stream stream_;
  ResponseScanner scanner_;
  Capabilities capabilities_ = 0;
  std::string version_;
  bool open_ = false;
};

struct ResultSet {
  std::vector<ColumnDef> columns;
  std::vector<Row> rows;
};

ResultSet decode(std::string_view response, Capabilities capabilities, bool binary) {
  std::vector<std::string> messages;
  MessageReader reader;
  while (!response.empty()) {
    const auto message = reader.next(response);
    messages.emplace_back((*message)->payload);
    response.remove_prefix((*message)->consumed);
  }
  ResultSet result;
  size_t at = 0;
  const size_t columns = decode_column_count(messages.at(at++)).value();
  for (size_t i = 0; i < columns; ++i) result.columns.push_back(decode_column(messages.at(at++), capabilities).value());
  if ((capabilities & kClientDeprecateEof) == 0) ++at;
  for (; !is_result_end(static_cast<uint8_t>(messages.at(at)[0]), messages[at].size(), capabilities); ++at) {
    std::vector<Cell> cells;
    std::string storage;
    const Status status = binary ? decode_binary_row(messages[at], result.columns, storage, cells)
                                 : decode_text_row(messages[at], columns, cells);
    EXPECT_TRUE(status.ok());
    if (binary) {
      std::string again;
      EXPECT_TRUE(encode_binary_row(again, result.columns, cells).ok());
      EXPECT_TRUE(again == messages[at]) << "row " << result.rows.size();
    }
    Row& row = result.rows.emplace_back();
    for (const Cell& cell : cells) row.push_back(cell ? std::optional<std::string>(*cell) : std::nullopt);
  }
  return result;
}

constexpr Capabilities kUsual =
    ClientAuthSettings().capabilities | kClientLocalFiles | kClientMultiStatements | kClientMultiResults;

class RealServer : public testing::TestWithParam<Capabilities> {
 protected:
  static void SetUpTestSuite() { server_ = new MariadbServer(); }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }
  void SetUp() override {
    ASSERT_TRUE(server_->ready());
    connection_.emplace(server_->socket(), GetParam());
    ASSERT_TRUE(connection_->open());
    connection_->run("create database if not exists wire");
    connection_->run("use wire");
  }
  Connection& connection() { return *connection_; }

  static MariadbServer* server_;
  std::optional<Connection> connection_;
};
MariadbServer* RealServer::server_ = nullptr;

INSTANTIATE_TEST_SUITE_P(Capabilities, RealServer,
                         testing::Values(kUsual, kUsual & ~kClientDeprecateEof, kUsual & ~kClientSessionTrack,
                                         kUsual | kMariadbClientExtendedMetadata));

TEST_P(RealServer, IsLoggedInto) {
  EXPECT_NE(connection().version().find("MariaDB"), std::string::npos);
  EXPECT_EQ(connection().capabilities() & kClientDeprecateEof, GetParam() & kClientDeprecateEof);
  EXPECT_EQ(connection().summary().session_state_changed, (GetParam() & kClientSessionTrack) != 0);
}

TEST_P(RealServer, SendsTheSameValuesInTextAndBinary) {
  connection().run(
      "create or replace table t (a tinyint, b smallint unsigned, c mediumint, d int unsigned zerofill, e bigint "
      "unsigned, "
      "f float, g double, h decimal(20,5), i date, j datetime(3), k time(6), l timestamp null, m year, n varchar(20), "
      "o blob, p text, q bit(12), r enum('x','y'), s set('a','b'), u json, v float(8,3), w double(10,2), x geometry, "
      "y uuid, z inet6)");
  connection().run(
      "insert into t values (-5, 65535, -8388608, 42, 18446744073709551615, 3.25, 1e-16, -12345.67891, '2024-02-29', "
      "'2024-02-29 12:13:14.125', '-838:59:58.000001', '2001-02-03 04:05:06', 1999, 'h\\'i', x'00ff', 'text', "
      "b'101010101010', 'y', 'a,b', '{\"a\":1}', 1.5, 2.25, point(1,2), uuid(), '::1')");
  connection().run("insert into t (a) values (null)");
  connection().run(
      "insert into t values "
      "(0,0,0,0,0,0,0,0,'0000-00-00','0000-00-00','00:00:00','0000-00-00',0,'','','',0,1,'','[]',0,0,"
      "null,null,null)");
  connection().run(
      "insert into t values (127,1,1,1,1,3.40282e38,1.7976931348623157e308,1,'9999-12-31','9999-12-31 23:59:59.999',"
      "'00:00:00.5',now(),2155,repeat('x',20),repeat('b',70000),'t',b'1','x','a','null',12345.678,1e5,null,null,null)");
  const ResultSet text = decode(connection().query("select * from t"), GetParam(), false);
  ASSERT_EQ(text.rows.size(), 4u);
  EXPECT_EQ(connection().summary().rows, 4u);

  std::string payload;
  encode_stmt_prepare(payload, "select * from t where ? = 1 and ? is not null");
  connection().command(ResponseKind::kStmtPrepare, payload);
  EXPECT_EQ(connection().summary().parameters, 2);
  EXPECT_EQ(connection().summary().columns, 25u);
  const std::vector<Value> values = {Value::of_int(1), Value::of_text("x")};
  payload.clear();
  encode_stmt_execute_values(payload, connection().summary().statement_id, values, {}, GetParam());
  const ResultSet binary = decode(connection().command(ResponseKind::kStmtExecute, payload), GetParam(), true);
  ASSERT_EQ(binary.rows.size(), 4u);
  for (size_t r = 0; r < 4; ++r) {
    for (size_t c = 0; c < text.columns.size(); ++c) {
      EXPECT_EQ(text.rows[r][c], binary.rows[r][c]) << "row " << r << " column " << text.columns[c].name;
    }
  }
  // As literals they are the same values again.
  for (const Row& row : text.rows) {
    std::string where;
    for (size_t c = 0; c < text.columns.size(); ++c) {
      if (text.columns[c].type == FieldType::kFloat) continue;  // Six digits do not tell the stored value.
      where.append(where.empty() ? " where " : " and ").append(text.columns[c].name).append(" <=> ");
      append_sql_literal(where, make_value(text.columns[c], row[c] ? Cell(*row[c]) : Cell()));
    }
    EXPECT_EQ(decode(connection().query("select a from t" + where), GetParam(), false).rows.size(), 1u)
        << where.substr(0, 500);
  }
}

TEST_P(RealServer, ParametersArriveAsTheyWereSent) {
  std::string payload;
  encode_stmt_prepare(payload, "select ?, ?, ?, ?, ?, hex(?), ?");
  connection().command(ResponseKind::kStmtPrepare, payload);
  const std::vector<Value> values = {Value::of_int(-7),
                                     Value::of_uint(~0ull),
                                     Value::null(),
                                     Value::of_text("it's"),
                                     {FieldType::kDouble, false, false, "0.1"},
                                     Value::of_binary(std::string("\0\xff", 2)),
                                     {FieldType::kNewDecimal, false, false, "12.340"}};
  payload.clear();
  encode_stmt_execute_values(payload, connection().summary().statement_id, values, {}, GetParam());
  const ResultSet result = decode(connection().command(ResponseKind::kStmtExecute, payload), GetParam(), true);
  EXPECT_EQ(result.rows.at(0), (Row{"-7", "18446744073709551615", std::nullopt, "it's", "0.1", "00FF", "12.340"}));
}

TEST_P(RealServer, AnswersEveryKindOfCommand) {
  Connection& c = connection();
  c.run("create or replace table n (a int primary key auto_increment, b int)");
  c.run("insert into n (b) values (1), (2), (3), (4), (5)");
  EXPECT_EQ(c.summary().affected_rows, 5u);
  EXPECT_EQ(c.summary().last_insert_id, 1u);

  std::string payload;
  encode_stmt_prepare(payload, "select a, b from n");
  c.command(ResponseKind::kStmtPrepare, payload);
  const uint32_t statement = c.summary().statement_id;
  StmtExecute execute;
  execute.statement_id = statement;
  execute.cursor_flags = kCursorReadOnly;
  payload.clear();
  encode_stmt_execute(payload, execute, GetParam());
  c.command(ResponseKind::kStmtExecute, payload);
  EXPECT_EQ(c.summary().rows, 0u);
  EXPECT_NE(c.summary().status_flags & kStatusCursorExists, 0);
  uint64_t fetched = 0;
  for (int i = 0; i < 10 && (c.summary().status_flags & kStatusLastRowSent) == 0; ++i) {
    payload.assign(1, static_cast<char>(Command::kStmtFetch));
    append_u32(payload, statement);
    append_u32(payload, 2);
    c.command(ResponseKind::kStmtFetch, payload);
    fetched += c.summary().rows;
  }
  EXPECT_EQ(fetched, 5u);
  payload.clear();
  encode_stmt_command(payload, Command::kStmtReset, statement);
  c.command(ResponseKind::kSimple, payload);
  EXPECT_FALSE(c.scanner().error());

  c.command(ResponseKind::kFieldList, std::string("\x04n\0", 3));
  EXPECT_EQ(c.summary().columns, 2u);
  EXPECT_NE(c.command(ResponseKind::kStatistics, "\x09").find("Uptime"), std::string::npos);
  c.command(ResponseKind::kSimple, "\x0e");                          // COM_PING
  c.command(ResponseKind::kSimple, std::string("\x1b\x00\x00", 3));  // COM_SET_OPTION
  EXPECT_FALSE(c.scanner().error());

  c.query("load data local infile 'x' into table n", "8\t1\n9\t2\n");
  EXPECT_FALSE(c.scanner().error());
  EXPECT_EQ(c.summary().affected_rows, 2u);

  c.run("select 1; insert into n (b) values (6); select 2");
  EXPECT_EQ(c.summary().results, 3u);
  EXPECT_EQ(c.summary().last_insert_id, 10u);
  c.run("create or replace procedure two() begin select 1; select 2; end");
  payload.clear();
  encode_stmt_prepare(payload, "call two()");
  c.command(ResponseKind::kStmtPrepare, payload);
  payload.clear();
  encode_stmt_execute_values(payload, c.summary().statement_id, {}, {}, GetParam());
  c.command(ResponseKind::kStmtExecute, payload);
  EXPECT_EQ(c.summary().results, 3u);

  c.query("select 1; select * from no_such_table");
  EXPECT_EQ(c.scanner().error()->code, 1146);
  EXPECT_FALSE(c.scanner().failed_at_once());
  c.query("select * from no_such_table");
  EXPECT_TRUE(c.scanner().failed_at_once());

  c.run("begin");
  EXPECT_NE(c.summary().status_flags & kStatusInTransaction, 0);
  c.command(ResponseKind::kSimple, "\x1f");  // COM_RESET_CONNECTION
  EXPECT_EQ(c.summary().status_flags & kStatusInTransaction, 0);
}

TEST_P(RealServer, SendsRowsOfMoreThanOneFrame) {
  for (const size_t size :
       {kMaxFramePayload - 6, kMaxFramePayload - 5, kMaxFramePayload - 4, kMaxFramePayload + 1000}) {
    const std::string response = connection().query("select repeat('x', " + std::to_string(size) + "), 2");
    EXPECT_FALSE(connection().scanner().error());
    EXPECT_EQ(connection().summary().rows, 1u);
    const ResultSet result = decode(response, GetParam(), false);
    EXPECT_EQ(result.rows.at(0).at(0)->size(), size);
    EXPECT_EQ(result.rows.at(0).at(1), "2");
  }
}

// --- A real client ---

// Serves one connection at a time on a loopback port: any statement with "rows" gets three rows, "bad" an error,
// anything else an OK.
class ScriptedServer {
 public:
  explicit ScriptedServer(ServerAuthSettings settings) : settings_(std::move(settings)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), size), 0);
    EXPECT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    EXPECT_EQ(::listen(listener_, 8), 0);
    thread_ = std::thread([this] {
      for (uint32_t id = 1;; ++id) {
        const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0) return;
        serve(fd, id);
      }
    });
  }
  ~ScriptedServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  uint16_t port() const { return port_; }

 private:
  void serve(int fd, uint32_t id) {
    Stream stream(fd);
    ServerHandshake login(settings_, id, {"somewhere", false}, base::system_random());
    std::string out, payload;
    uint8_t sequence = 0;
    login.start(out);
    stream.send(out);
    auto next = ServerHandshake::Next::kRead;
    while (next == ServerHandshake::Next::kRead && stream.message(payload, sequence)) {
      out.clear();
      next = login.on_message(sequence, payload, out);
      if (next == ServerHandshake::Next::kAccepted) login.accept(out, kStatusAutocommit);
      stream.send(out);
    }
    if (next != ServerHandshake::Next::kAccepted) return;
    while (stream.message(payload, sequence) && payload[0] != static_cast<char>(Command::kQuit)) {
      out.clear();
      PacketWriter writer(out, static_cast<uint8_t>(sequence + 1));
      answer(payload, writer, login.client());
      stream.send(out);
    }
  }
  static void answer(std::string_view payload, PacketWriter& writer, const AuthenticatedClient& client) {
    if (payload.find("rows") != std::string_view::npos) {
      std::vector<ColumnDef> columns(2);
      columns[0].name = "number";
      columns[0].type = FieldType::kLongLong;
      columns[1].name = "who";
      ResultSetWriter result(writer, client.capabilities);
      result.begin(columns);
      const std::string big(kMaxFramePayload + 7, 'z');
      const std::vector<std::vector<Cell>> rows = {{"1", client.user}, {"2", std::nullopt}, {"3", big}};
      for (const std::vector<Cell>& row : rows) EXPECT_TRUE(result.row(row).ok());
      result.end({});
    } else if (payload.find("bad") != std::string_view::npos) {
      encode_err(writer.begin(), {1146, "42S02", "Table 'x.y' doesn't exist"}, client.capabilities);
      writer.end();
    } else {
      OkPacket ok;
      ok.affected_rows = 3;
      ok.info = "Rows matched: 3  Changed: 3  Warnings: 0";
      encode_ok(writer.begin(), ok, client.capabilities);
      writer.end();
    }
  }

  ServerAuthSettings settings_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::thread thread_;
};

class RealClient : public testing::TestWithParam<std::string_view> {
 protected:
  void SetUp() override {
    const std::string stored = make_sha2_stored("secret", "abcdefghijklmnopqrst");
    users_ = StaticCredentials::parse(
                 R"({"native": [{"MysqlNativePassword": "*14E65567ABDB5135D0CFD9A70B3032C179A49EE7"}],
                     "sha2": [{"CachingSha2Password": "3881219d087dd9c634373fd33dfa33a2cb6bfc6c520b64b8bb60ef2ceb534ae7"}],
                     "stored": [{"CachingSha2Password": ")" +
                 stored + R"("}],
                     "clear": [{"Password": "secret"}], "empty": [{}]})")
                 .value();
    ServerAuthSettings settings;
    settings.provider = &*users_;
    settings.auth_plugin = GetParam();
    settings.rsa_key = RsaKeyPair::generate().value();
    server_.emplace(std::move(settings));
  }
  std::string run(const std::string& user, const std::string& password, const std::string& sql) {
    const auto output = base::run_program(
        {.argv = {"mariadb", "--no-defaults", "--skip-ssl", "--host=127.0.0.1",
                  "--port=" + std::to_string(server_->port()), "--user=" + user, "--password=" + password,
                  "--max-allowed-packet=64M", "-vv", "-B", "-e", sql, "shop"}},
        seconds(30), size_t{64} << 20);
    return output.ok() ? output->output : output.error().to_string();
  }

  std::optional<StaticCredentials> users_;
  std::optional<ScriptedServer> server_;
};
INSTANTIATE_TEST_SUITE_P(FirstPlugin, RealClient, testing::Values(kNativePasswordPlugin, kCachingSha2Plugin));

TEST_P(RealClient, LogsInWithEveryKindOfPassword) {
  for (const std::string user : {"native", "sha2", "stored", "clear"}) {
    const std::string good = run(user, "secret", "update");
    EXPECT_NE(good.find("Query OK, 3 rows affected"), std::string::npos) << user << ": " << good;
    EXPECT_NE(good.find("Rows matched: 3"), std::string::npos);
    const std::string bad = run(user, "wrong", "update");
    EXPECT_NE(bad.find("ERROR 1045 (28000): Access denied for user '" + user + "'@'somewhere' (using password: YES)"),
              std::string::npos)
        << bad;
  }
  EXPECT_NE(run("nobody", "secret", "update").find("ERROR 1045 (28000)"), std::string::npos);
}

TEST_P(RealClient, ReadsRowsAndErrors) {
  const std::string rows = run("native", "secret", "rows");
  EXPECT_NE(rows.find("number\twho\n1\tnative\n2\tNULL\n3\tzzz"), std::string::npos) << rows.substr(0, 200);
  EXPECT_EQ(std::count(rows.begin(), rows.end(), 'z'), static_cast<ptrdiff_t>(kMaxFramePayload + 7));
  EXPECT_NE(run("native", "secret", "bad").find("ERROR 1146 (42S02) at line 1: Table 'x.y' doesn't exist"),
            std::string::npos);
}

}  // namespace
}  // namespace vitrail::mysql
