#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <regex>
#include <thread>

#include "base/file.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/query_log.h"
#include "base/process.h"
#include "base/startup.h"
#include "base/text.h"

namespace vitrail::base {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class InFolder : public ::testing::Test {
 protected:
  InFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "base_test_XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~InFolder() override { EXPECT_TRUE(remove_tree(folder_).ok()); }
  std::string folder_;
};

class ManualClock final : public Clock {
 public:
  TimePoint now() const override { return now_; }
  WallTime wall_now() const override { return WallTime(now_.time_since_epoch()); }
  TimePoint now_{};
};

// --- text and hex ---

TEST(Text, SplitsAndJoins) {
  EXPECT_EQ(split("a,,b", ',').size(), 3u);
  EXPECT_EQ(split("", ',').size(), 1u);
  EXPECT_EQ(split_list(" a, b,,"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(join(std::vector<std::string>{"a", "b"}, ", "), "a, b");
  EXPECT_EQ(trim(" \t x y\r\n"), "x y");
}

TEST(Text, JsonStringsStayReadableWhateverTheBytes) {
  for (const std::string& text : {std::string("a\"b\\c\n\r\t\x01\x7f"), std::string("\0x", 2),
                                  std::string("gr\xc3\xbc\xc3\x9f"), std::string("\xf0\x9f\xa6\x86")}) {
    EXPECT_EQ(nlohmann::json::parse(json_string(text)).get<std::string>(), text);
  }
  for (const char* text : {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf0\x9f\xa6", "\xf4\x90\x80\x80", "a\xe2\x82"}) {
    EXPECT_TRUE(nlohmann::json::accept(json_string(text))) << hex_encode(text);
  }
}

TEST(Text, EditDistanceCountsSingleEdits) {
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("same", "same"), 0u);
}

TEST(Hex, RoundTripsAndRefusesOtherDigits) {
  EXPECT_EQ(hex_encode(std::string_view("\x00\xff\x16", 3)), "00ff16");
  EXPECT_EQ(hex_decode("00fF16").value(), std::string("\x00\xff\x16", 3));
  EXPECT_FALSE(hex_decode("123").ok());
  EXPECT_FALSE(hex_decode("1g").ok());
}

// --- files ---

TEST_F(InFolder, AtomicWriteReplacesAndLeavesNothingBeside) {
  const std::string path = folder_ + "/record";
  ASSERT_TRUE(write_file_atomically(path, "one").ok());
  ASSERT_TRUE(write_file_atomically(path, "two").ok());
  EXPECT_EQ(read_file(path).value(), "two");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
  struct stat info;
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0007, 0u) << "readable by the world";
}

TEST_F(InFolder, FailedWriteKeepsTheOldFileAndCleansUp) {
  ASSERT_TRUE(make_directories(folder_ + "/record/inner").ok());
  EXPECT_FALSE(write_file_atomically(folder_ + "/record", "x").ok());  // Cannot replace a folder.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
  EXPECT_EQ(write_file_atomically(folder_ + "/no/such/file", "x").error().code(), Code::kNotFound);
}

TEST_F(InFolder, ReadFileIsBoundedAndNamesWhatIsMissing) {
  ASSERT_TRUE(write_file_atomically(folder_ + "/f", std::string(100, 'x')).ok());
  EXPECT_EQ(read_file(folder_ + "/f", 99).error().code(), Code::kResourceExhausted);
  EXPECT_EQ(read_file(folder_ + "/f", 100)->size(), 100u);
  const auto missing = read_file(folder_ + "/missing");
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
  EXPECT_NE(missing.error().message().find("missing"), std::string::npos);
}

TEST_F(InFolder, DirectoriesAreMadeAndRemovedAsTrees) {
  ASSERT_TRUE(make_directories(folder_ + "/a/b/c").ok());
  ASSERT_TRUE(make_directories(folder_ + "/a/b/c").ok());
  ASSERT_TRUE(write_file_atomically(folder_ + "/a/b/file", "").ok());
  EXPECT_EQ(make_directories(folder_ + "/a/b/file/d").error().code(), Code::kAlreadyExists);
  ASSERT_TRUE(remove_tree(folder_ + "/a").ok());
  ASSERT_TRUE(remove_tree(folder_ + "/a").ok());
  EXPECT_FALSE(file_exists(folder_ + "/a"));
}

// --- processes ---

TEST_F(InFolder, ChildWritesToFilesWithItsEnvironmentAndFolder) {
  SpawnOptions options;
  options.argv = {"/bin/sh", "-c", "echo $GREETING; pwd; echo bad >&2; exit 7"};
  options.environment = {"GREETING=hello"};
  options.directory = folder_;
  options.stdout_path = folder_ + "/out";
  options.stderr_path = folder_ + "/err";
  auto child = ChildProcess::spawn(options);
  ASSERT_TRUE(child.ok()) << child.error().message();
  const auto ended = child->wait(seconds(10));
  ASSERT_TRUE(ended.ok());
  EXPECT_EQ(ended->code, 7);
  EXPECT_FALSE(ended->success());
  EXPECT_EQ(read_file(folder_ + "/out").value(), "hello\n" + std::filesystem::canonical(folder_).string() + "\n");
  EXPECT_EQ(read_file(folder_ + "/err").value(), "bad\n");
  EXPECT_EQ(child->wait(seconds(0))->code, 7);
}

TEST(Process, WaitEndsAtItsDeadlineAndStopTerminates) {
  auto child = ChildProcess::spawn({.argv = {"sleep", "1000"}});
  ASSERT_TRUE(child.ok());
  EXPECT_EQ(child->wait(milliseconds(20)).error().code(), Code::kDeadlineExceeded);
  EXPECT_FALSE(child->poll()->has_value());
  EXPECT_TRUE(is_process_alive(child->pid()));
  const pid_t pid = child->pid();
  EXPECT_EQ(child->stop(seconds(10))->signal, SIGTERM);
  EXPECT_FALSE(is_process_alive(pid));
  EXPECT_TRUE(child->kill(SIGTERM).ok());
}

TEST(Process, StopKillsWhatIgnoresTheRequest) {
  auto child = ChildProcess::spawn({.argv = {"sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.01; done"}});
  ASSERT_TRUE(child.ok());
  // Wait until the trap is set: SIGTERM shows as ignored in the process' status.
  const auto deadline = system_clock().now() + seconds(10);
  for (bool ignored = false; !ignored && system_clock().now() < deadline;) {
    const std::string status = read_file("/proc/" + std::to_string(child->pid()) + "/status").value_or("");
    std::smatch match;
    ignored = std::regex_search(status, match, std::regex("SigIgn:\\s*([0-9a-f]+)")) &&
              (std::stoull(match[1], nullptr, 16) >> (SIGTERM - 1) & 1) != 0;
  }
  EXPECT_EQ(child->stop(milliseconds(50))->signal, SIGKILL);
}

TEST(Process, MissingProgramIsAnError) {
  EXPECT_EQ(ChildProcess::spawn({.argv = {"/no/such/program"}}).error().code(), Code::kNotFound);
  EXPECT_EQ(ChildProcess::spawn({.argv = {}}).error().code(), Code::kInvalidArgument);
}

TEST(Process, ChildInheritsNoOtherFile) {
  const int leaked = ::dup(2);  // Without close-on-exec.
  const auto run = run_program({.argv = {"sh", "-c", "ls /proc/$$/fd"}}, seconds(10));
  ::close(leaked);
  ASSERT_TRUE(run.ok());
  EXPECT_EQ(run->output.find(std::to_string(leaked)), std::string::npos) << run->output;
}

TEST(Process, RunProgramKeepsOutputUpToItsBoundAndHonorsTheDeadline) {
  const auto run =
      run_program({.argv = {"sh", "-c", "head -c 100000 /dev/zero; echo end >&2; exit 3"}}, seconds(10), 1000);
  ASSERT_TRUE(run.ok());
  EXPECT_EQ(run->output.size(), 1000u);
  EXPECT_EQ(run->exit.code, 3);
  EXPECT_EQ(run_program({.argv = {"sleep", "1000"}}, milliseconds(30)).error().code(), Code::kDeadlineExceeded);
  EXPECT_EQ(run_program({.argv = {"sh", "-c", "exec >&- 2>&-; sleep 1000"}}, milliseconds(100)).error().code(),
            Code::kDeadlineExceeded);
}

// --- metrics ---

TEST(Metrics, CountsOfManyThreadsAddUp) {
  Metrics metrics("vtgate");
  Counter& counter = metrics.counter("QueriesProcessed", "queries");
  Timing& timing = metrics.timing("QueryTimings", "time");
  static constexpr int kThreads = 40;  // More than there are owned cells, in two generations.
  for (int generation = 0; generation < 2; ++generation) {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        for (int n = 0; n < 5'000; ++n) {
          counter.add();
          timing.record(milliseconds(2));
        }
      });
    }
  }
  EXPECT_EQ(counter.value(), 2u * kThreads * 5'000);
  EXPECT_EQ(timing.snapshot().count, 2u * kThreads * 5'000);
  EXPECT_EQ(timing.snapshot().sum_ns, 2ll * kThreads * 5'000 * 2'000'000);
}

TEST(Metrics, DebugVarsJoinsLabelsWithDots) {
  Metrics metrics("vtgate");
  metrics.gauges("HealthcheckConnections", "", {"keyspace", "shard_name", "tablet_type"})
      .with({"ks", "-80", "primary"})
      .set(1);
  metrics.counters("QueryRoutes", "", {"plan"}).with({"a.b"}).add(3);
  metrics.counter("Reloads", "").add(2);
  auto& timings = metrics.timings("CommitModeTimings", "", {"mode"});
  timings.with({"Single"}).record(std::chrono::microseconds(400));
  timings.with({"Single"}).record(seconds(60));
  timings.with({"Multi"}).record(milliseconds(1));
  const auto state = metrics.text_function("TabletStateName", [] { return "SERVING"; });
  const auto config = metrics.json_function("VReplicationConfig", [] { return R"({"1": "x"})"; });
  const auto lag = metrics.gauge_function("Lag", "", [] { return 7; });
  const auto document = nlohmann::json::parse(metrics.to_json());
  EXPECT_EQ(document["HealthcheckConnections"]["ks.-80.primary"], 1);
  EXPECT_EQ(document["QueryRoutes"]["a_b"], 3);
  EXPECT_EQ(document["Reloads"], 2);
  EXPECT_EQ(document["TabletStateName"], "SERVING");
  EXPECT_EQ(document["VReplicationConfig"]["1"], "x");
  EXPECT_EQ(document["Lag"], 7);
  const auto& commits = document["CommitModeTimings"];
  EXPECT_EQ(commits["TotalCount"], 3);
  EXPECT_EQ(commits["Histograms"]["Single"]["Count"], 2);
  EXPECT_EQ(commits["Histograms"]["Single"]["500000"], 1);
  EXPECT_EQ(commits["Histograms"]["Single"]["10000000000"], 1);
  EXPECT_EQ(commits["Histograms"]["Single"]["inf"], 2);
  EXPECT_EQ(commits["Histograms"]["Multi"]["Time"], 1'000'000);
}

TEST(Metrics, PrometheusTextNamesAndEscapes) {
  Metrics metrics("vttablet");
  metrics.counters("QueryExecutionsByTable", "by \"table\"", {"table"}).with({"a\"b\\c\n"}).add(4);
  metrics.gauge("CurrentErrantGTIDCount", "").set(-1);
  metrics.timing("Queries", "").record(milliseconds(3));
  const auto text_only = metrics.text_function("TabletType", [] { return "primary"; });
  const std::string text = metrics.to_prometheus();
  for (const char* line :
       {"# TYPE vttablet_query_executions_by_table counter\n",
        "vttablet_query_executions_by_table{table=\"a\\\"b\\\\c\\n\"} 4\n", "vttablet_current_errant_gtid_count -1\n",
        "vttablet_queries_bucket{le=\"0.001\"} 0\n", "vttablet_queries_bucket{le=\"0.005\"} 1\n",
        "vttablet_queries_bucket{le=\"+Inf\"} 1\n", "vttablet_queries_sum 0.003\n", "vttablet_queries_count 1\n",
        "# TYPE vttablet_queries histogram\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "in\n" << text;
  }
  EXPECT_EQ(text.find("tablet_type"), std::string::npos);
  metrics.counter("VttabletCalls", "").add();  // The program's name stands there once.
  EXPECT_NE(metrics.to_prometheus().find("\nvttablet_calls 1\n"), std::string::npos);
}

TEST(Metrics, SeriesBeyondTheBoundShareOne) {
  Metrics metrics("x");
  auto& family = metrics.counters("ByUser", "", {"user"});
  for (size_t i = 0; i < Family<Counter>::kSeriesMax + 50; ++i) family.with({std::to_string(i)}).add();
  EXPECT_EQ(family.series().size(), Family<Counter>::kSeriesMax + 1);
  EXPECT_EQ(family.with({"_other"}).value(), 50u);
  EXPECT_EQ(family.with({"17"}).value(), 1u);
}

TEST(Metrics, RemovedSeriesAndEndedFunctionsAreNotPrinted) {
  Metrics metrics("x");
  auto& family = metrics.gauges("Up", "", {"tablet"});
  Gauge& gauge = family.with({"zone1-0000000100"});
  family.remove({"zone1-0000000100"});
  gauge.set(5);  // Still ours to use.
  EXPECT_EQ(metrics.to_json().find("zone1"), std::string::npos);
  EXPECT_EQ(&family.with({"zone1-0000000100"}), &gauge);
  {
    const auto function = metrics.gauge_function("Short", "", [] { return 1; });
  }
  EXPECT_EQ(metrics.to_json().find("Short"), std::string::npos);
}

// --- log ---

TEST_F(InFolder, LogLinesHaveGlogForm) {
  ASSERT_TRUE(open_log({.program = "vttablet", .folder = folder_ + "/logs"}).ok());
  log_info("tablet {} is {}", 100, "up");
  log_warning("two\nlines");
  flush_log();
  const std::string text = read_file(folder_ + "/logs/vttablet.INFO").value_or("");
  ASSERT_TRUE(open_log({.program = "vttablet"}).ok());
  EXPECT_TRUE(
      std::regex_search(text, std::regex(R"(^I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ base_test\.cc:\d+\] tablet 100 is up\n)"
                                         R"(W\d{4} .*\] two\\nlines\n$)")))
      << text;
}

TEST_F(InFolder, LogFolderThatCannotBeMadeIsAnError) {
  ASSERT_TRUE(write_file_atomically(folder_ + "/file", "").ok());
  EXPECT_FALSE(open_log({.program = "x", .folder = folder_ + "/file"}).ok());
}

TEST(LogLimit, LetsOneThroughPerInterval) {
  ManualClock clock;
  LogLimit limit(seconds(10), clock);
  EXPECT_TRUE(limit.allow());
  EXPECT_FALSE(limit.allow());
  clock.now_ += seconds(9);
  EXPECT_FALSE(limit.allow());
  clock.now_ += seconds(1);
  EXPECT_TRUE(limit.allow());
  EXPECT_EQ(limit.suppressed(), 2u);
}

// --- startup ---

TEST_F(InFolder, StartupWritesAndRemovesThePidFile) {
  const std::string path = folder_ + "/x.pid";
  {
    Settings settings("x", "");
    Startup startup(settings);
    std::string args[] = {"x", "--pid-file",   path,           "--log-format=text", "--v",
                          "2", "-logtostderr", "--pprof-http", "--service_map",     "grpc-vtctl,grpc-vtctld"};
    std::vector<char*> argv;
    for (std::string& arg : args) argv.push_back(arg.data());
    EXPECT_EQ(startup.run(static_cast<int>(argv.size()), argv.data()), std::nullopt);
    EXPECT_EQ(read_file(path).value(), std::to_string(::getpid()) + "\n");
  }
  EXPECT_FALSE(file_exists(path));
}

TEST(Startup, MistakesEndTheProcessWithOne) {
  Settings settings("x", "");
  Startup startup(settings);
  std::string args[] = {"x", "--nonsense"};
  char* argv[] = {args[0].data(), args[1].data()};
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(startup.run(2, argv), 1);
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("x: unknown flag: --nonsense"), std::string::npos);
}

TEST(QueryLog, ListenersGetWhatIsWrittenWhileTheyListenAndNoMoreThanTheirBound) {
  QueryLog log;
  ASSERT_TRUE(log.open("").ok());
  log.write("nobody hears this\n");
  std::vector<std::unique_ptr<QueryLog::Listener>> listeners;
  for (size_t i = 0; i < QueryLog::kListenersMax; ++i) listeners.push_back(std::move(*log.listen()));
  EXPECT_TRUE(log.wanted());
  const auto refused = log.listen();
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
  for (size_t i = 0; i < QueryLog::kLinesMax + 5; ++i) log.write(std::to_string(i) + "\n");
  for (size_t i = 0; i < QueryLog::kLinesMax; ++i) {
    EXPECT_EQ(listeners[0]->next(std::chrono::seconds(0)), std::to_string(i) + "\n");
  }
  EXPECT_EQ(listeners[0]->next(std::chrono::seconds(0)), std::nullopt);
  listeners.clear();
  EXPECT_FALSE(log.wanted());
}

}  // namespace
}  // namespace vitrail::base
