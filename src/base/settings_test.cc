#include "base/settings.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/config_file.h"
#include "base/duration.h"
#include "base/file.h"
#include "base/known_flags.h"
#include "base/text.h"

namespace vitrail::base {
namespace {

using Args = std::vector<std::string>;
using std::chrono::milliseconds;
using std::chrono::seconds;

// A folder of its own for one test, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "settings_test_XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { EXPECT_TRUE(remove_tree(path_).ok()); }
  std::string file(const std::string& name, std::string_view content) {
    const std::string path = path_ + "/" + name;
    EXPECT_TRUE(write_file_atomically(path, content).ok());
    return path;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct Gate {
  Settings settings{"vtgate", "routes queries"};
  std::string cell;
  bool schema_change_signal = true;
  bool partial = false;
  uint16_t port = 15001;
  int64_t rows_max = -1;
  double ratio = 0.5;
  Duration timeout = seconds(30);
  milliseconds window{10'000};
  std::vector<std::string> cells{"zone1"};
  LiveText transaction_mode{"MULTI"};
  std::atomic<Duration> lag{seconds(30)};

  Gate() {
    settings.add("cell", &cell, "cell to run in");
    settings.add("schema_change_signal", &schema_change_signal, "track schemas");
    settings.add("enable-partial-keyspace-migration", &partial, "route by shard");
    settings.add("mysql_server_port", &port, "port for MySQL clients").alias("mysql-port");
    settings.add("warn_payload_size", &rows_max, "warn above").unit("bytes");
    settings.add("ratio", &ratio, "sampling");
    settings.add("buffer_min_duration", &timeout, "least time between two failovers");
    settings.add("buffer_window", &window, "longest buffering");
    settings.add("cells_to_watch", &cells, "cells");
    settings.add("transaction_mode", &transaction_mode, "default mode").one_of({"SINGLE", "MULTI", "TWOPC"});
    settings.add("discovery_low_replication_lag", &lag, "lag");
    settings.add_config_file();
    settings.accept("logtostderr", false, "it does so anyway");
    settings.accept("v", true, "verbosity only");
    settings.accept("service_map", true, "all are offered");
    settings.accept("tracer", true, "spans are not recorded").one_of({"noop", ""});
  }
  std::string mistakes(const Args& args) {
    const auto outcome = settings.parse(args);
    return outcome.ok() ? "" : outcome.error().message();
  }
};

TEST(Settings, AcceptsEveryFormOfAFlag) {
  Gate gate;
  ASSERT_EQ(gate.mistakes({"--cell", "zone2", "-mysql-server-port=3306", "--enable_partial_keyspace_migration",
                           "--schema-change-signal=false", "-warn_payload_size", "-5", "--ratio=0.25",
                           "--buffer-min-duration", "1h30m", "--buffer_window=500ms", "--logtostderr", "--v=2",
                           "--service_map", "grpc-vtctl,grpc-vtctld", "--transaction-mode", "twopc"}),
            "");
  EXPECT_EQ(gate.cell, "zone2");
  EXPECT_EQ(gate.port, 3306);
  EXPECT_TRUE(gate.partial);
  EXPECT_FALSE(gate.schema_change_signal);
  EXPECT_EQ(gate.rows_max, -5);
  EXPECT_EQ(gate.ratio, 0.25);
  EXPECT_EQ(gate.timeout, std::chrono::minutes(90));
  EXPECT_EQ(gate.window, milliseconds(500));
  EXPECT_EQ(gate.transaction_mode.get(), "TWOPC");
  EXPECT_TRUE(gate.settings.is_set("buffer-window"));
  EXPECT_FALSE(gate.settings.is_set("discovery_low_replication_lag"));
}

TEST(Settings, FirstValueOfAListReplacesTheDefaultAndMoreAreAppended) {
  Gate gate;
  ASSERT_EQ(gate.mistakes({"--cells_to_watch", "a,b", "--cells-to-watch=c"}), "");
  EXPECT_EQ(gate.cells, (Args{"a", "b", "c"}));
}

TEST(Settings, BoolDoesNotTakeTheNextWord) {
  Gate gate;
  gate.settings.arguments("<word>", 0, 1);
  ASSERT_EQ(gate.mistakes({"--enable-partial-keyspace-migration", "false"}), "");
  EXPECT_TRUE(gate.partial);
  EXPECT_EQ(gate.settings.positional(), Args{"false"});
}

TEST(Settings, ReportsAllMistakesAtOnceAndNamesTheNearestFlag) {
  Gate gate;
  const std::string text = gate.mistakes({"--cels_to_watch", "--mysql_server_port=70000", "--ratio=much",
                                          "--buffer_window=1us", "--transaction_mode=none", "stray", "--cell"});
  EXPECT_NE(text.find("unknown flag: --cels_to_watch (did you mean --cells_to_watch?)"), std::string::npos) << text;
  EXPECT_NE(text.find("--mysql_server_port: invalid value \"70000\""), std::string::npos) << text;
  EXPECT_NE(text.find("--ratio: invalid value \"much\""), std::string::npos) << text;
  EXPECT_NE(text.find("--buffer_window"), std::string::npos) << text;
  EXPECT_NE(text.find("SINGLE, MULTI, TWOPC"), std::string::npos) << text;
  EXPECT_NE(text.find("stray"), std::string::npos) << text;
  EXPECT_NE(text.find("flag needs an argument: --cell"), std::string::npos) << text;
}

TEST(Settings, RefusesABadValueThatACheckFinds) {
  Settings settings("x", "");
  std::string alias;
  settings.add("tablet-path", &alias, "").check([](std::string_view value) -> Status {
    if (value.find('-') == std::string_view::npos) return fail(Code::kInvalidArgument, "no cell");
    return {};
  });
  EXPECT_EQ(settings.parse(Args{"--tablet-path=7"}).error().message(), "--tablet-path: no cell");
  EXPECT_EQ(alias, "");
}

TEST(Settings, VersionTextHasTheInterfaceVersion) {
  Gate gate;
  EXPECT_EQ(gate.settings.parse(Args{"--version"}).value(), Settings::Outcome::kVersion);
  EXPECT_NE(gate.settings.version().find("Version: 24.0.0 ("), std::string::npos);
}

TEST(Settings, VersionOfTheProgramComesBeforeThatOfASubCommand) {
  Settings settings("vtctldclient", "");
  int32_t version = 0;
  settings.add_command("GetTopologyPath", "").add("version", &version, "of the record");
  EXPECT_EQ(settings.parse(Args{"--version"}).value(), Settings::Outcome::kVersion);
  Settings other("vtctldclient", "");
  other.add_command("GetTopologyPath", "").add("version", &version, "of the record");
  EXPECT_EQ(other.parse(Args{"GetTopologyPath", "--version", "5"}).value(), Settings::Outcome::kRun);
  EXPECT_EQ(version, 5);
}

TEST(Settings, HelpShowsUnitDefaultAndChoices) {
  Gate gate;
  EXPECT_EQ(gate.settings.parse(Args{"--nonsense", "--help"}).value(), Settings::Outcome::kHelp);
  const std::string text = gate.settings.help();
  EXPECT_NE(text.find("--warn_payload_size bytes"), std::string::npos) << text;
  EXPECT_NE(text.find("(default 30s)"), std::string::npos) << text;
  EXPECT_NE(text.find("one of: SINGLE, MULTI, TWOPC"), std::string::npos) << text;
  EXPECT_EQ(text.find("logtostderr"), std::string::npos) << text;
}

struct Client {
  Settings settings{"vtctldclient", "talks to vtctld"};
  std::string server;
  bool compact = false;
  std::string workflow;
  std::string source;
  bool on_ddl = false;
  std::string cells;

  Client() {
    settings.add("server", &server, "address").required();
    settings.add("compact", &compact, "shorter JSON");
    Settings& move = settings.add_command("MoveTables", "moves tables", {"movetables"});
    move.add("workflow", &workflow, "name").alias("w").required();
    Settings& create = move.add_command("create", "starts").arguments("", 0, 0);
    create.add("source-keyspace", &source, "from").required();
    create.add("no-routing-rules", &on_ddl, "none");
    move.add_command("complete", "ends");
    settings.add_command("GetShard", "prints").arguments("<keyspace/shard>", 1, 1).add("cells", &cells, "cells");
  }
};

TEST(Settings, FlagsStandBeforeOrAfterTheNameOfTheirSubCommand) {
  for (const Args& args :
       {Args{"--server", "h:1", "MoveTables", "--workflow", "w", "create", "--source-keyspace", "x"},
        Args{"MoveTables", "--source-keyspace", "x", "create", "--workflow=w", "--server", "h:1"},
        Args{"--no-routing-rules", "--source_keyspace", "x", "movetables", "-w", "w", "create", "--server=h:1"}}) {
    Client client;
    const auto outcome = client.settings.parse(args);
    ASSERT_TRUE(outcome.ok()) << outcome.error().message();
    EXPECT_EQ(*outcome, Settings::Outcome::kRun);
    EXPECT_EQ(client.settings.command_path(), (Args{"MoveTables", "create"}));
    EXPECT_EQ(client.workflow, "w");
    EXPECT_EQ(client.source, "x");
    EXPECT_EQ(client.server, "h:1");
  }
}

TEST(Settings, ShardNameThatStartsWithADashIsAnArgument) {
  Client client;
  ASSERT_TRUE(client.settings.parse(Args{"--server=h:1", "GetShard", "-80"}).ok());
  EXPECT_EQ(client.settings.positional(), Args{"-80"});
}

TEST(Settings, DoubleDashEndsTheFlags) {
  Client client;
  ASSERT_TRUE(client.settings.parse(Args{"--server=h:1", "GetShard", "--", "--odd"}).ok());
  EXPECT_EQ(client.settings.positional(), Args{"--odd"});
}

TEST(Settings, FlagOfAnotherSubCommandIsUnknown) {
  Client client;
  const auto outcome =
      client.settings.parse(Args{"--server=h:1", "MoveTables", "-w", "w", "complete", "--source-keyspace", "x"});
  ASSERT_FALSE(outcome.ok());
  EXPECT_NE(outcome.error().message().find("unknown flag for this command: --source-keyspace"), std::string::npos);
}

TEST(Settings, NamesMissingFlagsArgumentsAndUnknownCommands) {
  EXPECT_NE(Client()
                .settings.parse(Args{"MoveTables", "create"})
                .error()
                .message()
                .find("required flag(s) \"source-keyspace\", \"workflow\", \"server\" not set"),
            std::string::npos);
  EXPECT_NE(Client().settings.parse(Args{"--server=h", "GetShard"}).error().message().find("at least 1 argument"),
            std::string::npos);
  EXPECT_NE(
      Client().settings.parse(Args{"--server=h", "GetShardd", "x"}).error().message().find("did you mean GetShard?"),
      std::string::npos);
}

TEST(Settings, CommandWithoutSubCommandShowsItsHelp) {
  Client client;
  EXPECT_EQ(client.settings.parse(Args{"--server=h", "MoveTables"}).value(), Settings::Outcome::kHelp);
  EXPECT_NE(client.settings.help().find("vtctldclient MoveTables <command>"), std::string::npos);
}

TEST(Settings, ConfigFileIsReadBelowTheCommandLine) {
  TemporaryFolder folder;
  const std::string path =
      folder.file("c.json", R"({"transaction_mode": "SINGLE", "cell": "from_file", "cells-to-watch": ["a", "b"],
      "discovery_low_replication_lag": "5s", "mysql_server_port": 1234, "odd": 1})");
  Gate gate;
  ASSERT_EQ(gate.mistakes({"--config-file", path, "--cell", "from_line"}), "");
  EXPECT_EQ(gate.cell, "from_line");
  EXPECT_EQ(gate.port, 1234);
  EXPECT_EQ(gate.cells, (Args{"a", "b"}));
  EXPECT_EQ(gate.lag.load(), seconds(5));
  ASSERT_EQ(gate.settings.warnings().size(), 1u);
  EXPECT_NE(gate.settings.warnings()[0].find("unknown key odd"), std::string::npos);
  EXPECT_NE(gate.settings.to_json().find(R"("transaction_mode":"SINGLE")"), std::string::npos);
}

// Empty values of config files are what other programs of this family take them for: the zero of their type.
TEST(Settings, EmptyValuesOfTheConfigFileAreTheZeroOfTheirType) {
  struct Values {
    bool on = true;
    int64_t number = 7;
    uint16_t port = 9;
    double ratio = 0.5;
    Duration time = seconds(5);
    std::string text = "x";
    std::vector<std::string> list{"a"};
    std::string mode = "MULTI";
  };
  const char* const texts[] = {
      R"({"on": "", "number": "", "port": "", "ratio": "", "time": "", "text": "", "list": "", "mode": "", "old": ""})",
      R"({"on": null, "number": null, "port": null, "ratio": null, "time": null, "text": null, "list": [], "mode": null,
          "old": null})",
      "on:\nnumber: ''\nport: \"\"\nratio: ~\ntime:\ntext:\nlist: []\nmode:\nold: ''\n"};
  for (const char* text : texts) {
    SCOPED_TRACE(text);
    TemporaryFolder folder;
    Values values;
    Settings settings("vtgate", "");
    settings.add("on", &values.on, "");
    settings.add("number", &values.number, "");
    settings.add("port", &values.port, "");
    settings.add("ratio", &values.ratio, "");
    settings.add("time", &values.time, "");
    settings.add("text", &values.text, "");
    settings.add("list", &values.list, "");
    settings.add("mode", &values.mode, "").one_of({"SINGLE", "MULTI"});
    settings.accept("old", false, "it is never so").one_of({"false"});
    settings.add_config_file();
    const auto outcome = settings.parse(Args{"--config-file", folder.file("c.conf", text)});
    ASSERT_TRUE(outcome.ok()) << outcome.error().message();
    EXPECT_FALSE(values.on);
    EXPECT_EQ(values.number, 0);
    EXPECT_EQ(values.port, 0);
    EXPECT_EQ(values.ratio, 0);
    EXPECT_EQ(values.time, Duration::zero());
    EXPECT_EQ(values.text, "");
    EXPECT_EQ(values.list, Args{});
    EXPECT_EQ(values.mode, "MULTI");
  }
  // On the command line an empty value must be one that the type has.
  for (const char* flag :
       {"--ratio=", "--mysql_server_port=", "--buffer_window=", "--schema_change_signal=", "--transaction_mode="}) {
    EXPECT_NE(Gate().mistakes({flag}), "") << flag;
  }
  EXPECT_EQ(Gate().mistakes({"--cell="}), "");
}

TEST(Settings, ABareNumberHasTheUnitThatOlderReleasesGaveIt) {
  const struct {
    const char* text;
    Duration value;
  } cases[] = {{"100", milliseconds(100)}, {"0", Duration::zero()},      {"1.5", std::chrono::microseconds(1500)},
               {"30s", seconds(30)},       {"100ms", milliseconds(100)}, {"1h", seconds(3600)}};
  for (const auto& c : cases) {
    Settings settings("vtgate", "");
    Duration timeout = seconds(9);
    settings.add("query-timeout", &timeout, "").bare_number(milliseconds(1));
    ASSERT_TRUE(settings.parse(Args{"--query-timeout", c.text}).ok()) << c.text;
    EXPECT_EQ(timeout, c.value) << c.text;
  }
  for (const char* wrong : {"x", "1e300", "nan", "", "5 parsecs"}) {
    Settings settings("vtgate", "");
    Duration timeout{};
    settings.add("query-timeout", &timeout, "").bare_number(milliseconds(1));
    EXPECT_FALSE(settings.parse(Args{"--query-timeout", wrong}).ok()) << wrong;
  }
}

TEST(Settings, FlagsWithoutEffectAreToldOnce) {
  TemporaryFolder folder;
  Gate gate;
  ASSERT_EQ(gate.mistakes({"--v=2", "--v=3", "--config-file", folder.file("c.json", R"({"service_map": "x"})")}), "");
  ASSERT_EQ(gate.settings.warnings().size(), 2u);
  EXPECT_EQ(gate.settings.warnings()[0], "--v is accepted, without effect: verbosity only");
  EXPECT_NE(gate.settings.warnings()[1].find("service_map is accepted, without effect: all are offered"),
            std::string::npos);
}

TEST(Settings, ReloadChangesLiveSettingsOnly) {
  TemporaryFolder folder;
  const std::string path = folder.file("c.json", R"({"transaction_mode": "SINGLE", "cell": "one"})");
  Gate gate;
  ASSERT_EQ(gate.mistakes({"--config-file", path, "--discovery_low_replication_lag=1s"}), "");
  folder.file("c.json", R"({"transaction_mode": "MULTI", "cell": "two", "discovery_low_replication_lag": "9s"})");
  EXPECT_EQ(gate.settings.reload_config().value(), Args{"transaction_mode"});
  EXPECT_EQ(gate.transaction_mode.get(), "MULTI");
  EXPECT_EQ(gate.cell, "one");
  EXPECT_EQ(gate.lag.load(), seconds(1));
  folder.file("c.json", R"({"transaction_mode": "MU)");
  EXPECT_FALSE(gate.settings.reload_config().ok());
  EXPECT_EQ(gate.transaction_mode.get(), "MULTI");
}

TEST(Settings, KeyThatLeavesTheConfigFileHasItsDefaultAgain) {
  TemporaryFolder folder;
  const std::string path = folder.file("c.json", R"({"transaction_mode": "SINGLE", "cell": "one"})");
  Gate gate;
  ASSERT_EQ(gate.mistakes({"--config-file", path}), "");
  folder.file("c.json", "");  // A file that is being written is empty for a moment.
  EXPECT_EQ(gate.settings.reload_config().value(), Args{});
  EXPECT_EQ(gate.transaction_mode.get(), "SINGLE");
  folder.file("c.json", "{}");
  EXPECT_EQ(gate.settings.reload_config().value(), Args{"transaction_mode"});
  EXPECT_EQ(gate.transaction_mode.get(), "MULTI");
  EXPECT_EQ(gate.cell, "one");
}

TEST(Settings, ConfigTypeIsChecked) {
  TemporaryFolder folder;
  const std::string path = folder.file("c", "cell: one\n");
  EXPECT_EQ(Gate().mistakes({"--config-file", path, "--config-type=yaml"}), "");
  EXPECT_NE(Gate().mistakes({"--config-file", path, "--config-type=json"}), "");
  Gate gate;
  ASSERT_EQ(gate.mistakes({"--config-path", folder.path(), "--config-name=c", "--config-type=yaml"}), "");
  EXPECT_EQ(gate.cell, "one");
  EXPECT_EQ(gate.settings.config_file(), path);
}

TEST(Settings, FlagsWithoutEffectTakeOnlyValuesForWhichThatIsRight) {
  EXPECT_EQ(Gate().mistakes({"--tracer=noop", "--tracer", ""}), "");
  EXPECT_EQ(Gate().mistakes({"--tracer=jaeger"}),
            "--tracer: invalid value \"jaeger\": expected one of noop, \"\": spans are not recorded");
}

TEST(Settings, EveryProgramKnowsTheFlagsThatOthersOfItsKindHave) {
  Settings gate("vtgate", "");
  std::string tracer;
  gate.add("tracer", &tracer, "declared by the program itself");
  declare_known_flags(gate);
  ASSERT_TRUE(gate.parse(Args{"--planner-version=gen4", "--pprof-http", "--tracer=any", "--service-map", "x"}).ok());
  EXPECT_EQ(tracer, "any");
  Settings other("other", "");
  declare_known_flags(other);
  EXPECT_TRUE(other.parse(Args{"--pprof-http", "--v=2"}).ok());
  EXPECT_FALSE(other.parse(Args{"--planner-version=gen4"}).ok());
}

// Names and values that test harnesses of this family start with; and values that ask for what is not there.
TEST(Settings, KnownFlagsHaveTheNamesAndValuesOfTheirFamily) {
  const struct {
    const char* program;
    const char* flag;
    bool accepted;
  } cases[] = {
      {"vttablet", "--twopc_coordinator_address=host:15999", true},
      {"vttablet", "--queryserver-config-passthrough-dmls", true},
      {"vttablet", "--queryserver-config-passthrough-dmls=false", false},
      {"vttablet", "--queryserver-enable-online-ddl=false", true},
      {"vttablet", "--queryserver_enable_online_ddl", false},
      {"vttablet", "--heartbeat_on_demand_duration=5s", false},
      {"vttablet", "--enable-tx-throttler", false},
      {"vtgate", "--buffer-min-time-between-failovers=1m", true},
      {"vtgate", "--legacy-replication-lag-algorithm=false", true},
      {"vtgate", "--legacy_replication_lag_algorithm", false},
      {"vtgate", "--enable-views", true},
      {"vtgate", "--lock-heartbeat-time=5s", true},
      {"vtgate", "--buffer-drain-concurrency=4", true},
      {"vtgate", "--warming-reads-percent=0", true},
      {"vtgate", "--warming-reads-percent=10", false},
      {"vtgate", "--mysql-conn-buffer-pooling", true},
      {"vtgate", "--balancer-mode=random", false},
      {"vttablet", "--schema-version-max-age-seconds=60", true},
      {"vttablet", "--tablet-manager-grpc-ca=ca.pem", false},
      {"vttablet", "--querylog-mode=error", false},
      {"vtctld", "-enable_realtime_stats", true},
      {"mysqlctl", "--twopc_coordinator_address=host:15999", false},
  };
  for (const auto& c : cases) {
    Settings settings(c.program, "");
    declare_known_flags(settings);
    EXPECT_EQ(settings.parse(Args{c.flag}).ok(), c.accepted) << c.program << " " << c.flag;
  }
}

TEST(Settings, DescribesEveryFlagAsJson) {
  Gate gate;
  EXPECT_EQ(gate.settings.parse(Args{"--help-json"}).value(), Settings::Outcome::kHelpJson);
  const auto flags = nlohmann::json::parse(gate.settings.describe_json());
  const auto find = [&](const std::string& name) {
    for (const auto& flag : flags) {
      if (flag["name"] == name) return flag;
    }
    return nlohmann::json();
  };
  EXPECT_EQ(find("transaction_mode")["allowed"], (nlohmann::json{"SINGLE", "MULTI", "TWOPC"}));
  EXPECT_EQ(find("discovery_low_replication_lag")["live"], true);
  EXPECT_EQ(find("buffer_window")["default"], "10s");
  EXPECT_EQ(find("v")["effect"], false);
  EXPECT_EQ(find("v")["description"], "verbosity only");
  Client client;
  EXPECT_NE(client.settings.describe_json().find("vtctldclient MoveTables create"), std::string::npos);
}

TEST(Settings, MissingConfigFileIsHandledAsAsked) {
  EXPECT_EQ(Gate().mistakes({"--config-file=/nonexistent/c.json"}), "");
  EXPECT_NE(Gate().mistakes({"--config-file=/nonexistent/c.json", "--config-file-not-found-handling=error"}), "");
}

TEST(Settings, FindsTheConfigFileByPathAndName) {
  TemporaryFolder folder;
  folder.file("vtconfig.yaml", "cell: zone9\n");
  Gate gate;
  ASSERT_EQ(gate.mistakes({"--config-path", folder.path()}), "");
  EXPECT_EQ(gate.cell, "zone9");
}

TEST(ConfigFile, ReadsFlatYaml) {
  const auto entries = parse_config(
      "---\n# comment\na: 1   # one\nb: 'it''s'\nc: [x, \"y, z\"]\nd:\n  - p\n  - q # last\ne: \"t\\tt\"\nf: "
      "#nothing\n");
  ASSERT_TRUE(entries.ok()) << entries.error().message();
  std::string text;
  for (const auto& entry : *entries) text += entry.key + "=" + join(entry.values, "|") + ";";
  EXPECT_EQ(text, "a=1;b=it's;c=x|y, z;d=p|q;e=t\tt;f=;");
}

TEST(ConfigFile, RefusesWhatItCannotRead) {
  for (const char* text :
       {"{", "{\"a\": {\"b\": 1}}", "a:\n  b: 1\n", "- x\n", "a: [1, 2\n", "a: \"x\n", "novalue\n", "[1]"}) {
    EXPECT_FALSE(parse_config(text).ok()) << text;
  }
}

TEST(Duration, ReadsAndPrintsGoForm) {
  for (const auto& [text, ns, printed] : std::vector<std::tuple<const char*, int64_t, const char*>>{
           {"31s", 31'000'000'000, "31s"},
           {"1h30m", 5'400'000'000'000, "1h30m0s"},
           {"500ms", 500'000'000, "500ms"},
           {"1.5s", 1'500'000'000, "1.5s"},
           {"-2m", -120'000'000'000, "-2m0s"},
           {"0", 0, "0s"},
           {"3us", 3'000, "3\xc2\xb5s"},
           {"1500us", 1'500'000, "1.5ms"},
           {"7ns", 7, "7ns"},
           {"2562047h47m16.854775807s", INT64_MAX, "2562047h47m16.854775807s"}}) {
    const auto parsed = parse_duration(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(parsed->count(), ns) << text;
    EXPECT_EQ(format_duration(*parsed), printed);
  }
}

TEST(Duration, RefusesWhatHasNoUnitOrIsTooLong) {
  for (const char* text : {"", "-", "5", "s", "1x", ".s", "1h 2m", "3000000h", "99999999999999999999s", "1s2"}) {
    EXPECT_FALSE(parse_duration(text).ok()) << text;
  }
}

}  // namespace
}  // namespace vitrail::base
