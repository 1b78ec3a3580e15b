#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "base/process.h"
#include "base/settings.h"
#include "base/text.h"

namespace vitrail::base {
namespace {

using Words = std::vector<std::string>;

struct Tool {
  Settings settings{"tool", "a program with commands"};
  std::string server, format, file;
  bool force = false;
  std::vector<std::string> arguments;

  Tool() {
    settings.add("server", &server, "where it is").required();
    settings.add("action_timeout", &format, "how long");
    settings.add("internal_state", &file, "not shown").hidden();
    Settings& get = settings.add_command("GetTablets", "lists tablets", {"gettablets"});
    get.add("format", &format, "form of the lines").one_of({"awk", "json"}).alias("f");
    get.add("strict", &force, "fail early");
    settings.add_command("GetShard", "prints a shard").arguments("<keyspace/shard>", 1, 1);
    settings.add_command("WritePath", "writes").arguments("<path> <file>", 2, 2);
    settings.add_command("OldCommand", "not shown").hidden_command();
    settings.add_command("Legacy", "hands on").arguments("<command> [...]", 1, 100).pass_through().add("x", &file, "x");
    settings.add_completion();
  }
};

TEST(Completion, NamesCommandsThatBeginWithWhatWasTyped) {
  Tool tool;
  EXPECT_EQ(tool.settings.complete(Words{"Get"}, true), "GetShard\tprints a shard\nGetTablets\tlists tablets\n:4\n");
  EXPECT_EQ(tool.settings.complete(Words{"gett"}, false), "GetTablets\n:4\n");
  EXPECT_EQ(tool.settings.complete(Words{"--server", "a:1", "Write"}, false), "WritePath\n:4\n");
  EXPECT_EQ(tool.settings.complete(Words{""}, false),
            "GetShard\nGetTablets\nLegacy\nWritePath\ncompletion\nhelp\n:4\n");
  EXPECT_EQ(tool.settings.complete(Words{}, false), tool.settings.complete(Words{""}, false));
  EXPECT_EQ(tool.settings.complete(Words{"help", "GetS"}, false), "GetShard\n:4\n");
  EXPECT_EQ(tool.settings.complete(Words{"completion", ""}, false), "bash\nfish\npowershell\nzsh\n:4\n");
}

TEST(Completion, NamesFlagsInTheSpellingThatWasBegun) {
  Tool tool;
  EXPECT_EQ(tool.settings.complete(Words{"GetTablets", "--s"}, true),
            "--server\twhere it is\n--strict\tfail early\n:4\n");
  EXPECT_EQ(tool.settings.complete(Words{"--action-"}, false), "--action-timeout\n:4\n");
  EXPECT_EQ(tool.settings.complete(Words{"--action_"}, false), "--action_timeout\n:4\n");
  EXPECT_EQ(tool.settings.complete(Words{"-ver"}, false), "--version\n:4\n");
  EXPECT_EQ(tool.settings.complete(Words{"--internal"}, false), ":4\n") << "hidden";
}

TEST(Completion, NamesTheValuesOfAFlag) {
  Tool tool;
  EXPECT_EQ(tool.settings.complete(Words{"GetTablets", "--format", ""}, false), "awk\njson\n:4\n");
  EXPECT_EQ(tool.settings.complete(Words{"GetTablets", "-f", "j"}, false), "json\n:4\n");
  EXPECT_EQ(tool.settings.complete(Words{"GetTablets", "--format=a"}, false), "awk\n:4\n");
  EXPECT_EQ(tool.settings.complete(Words{"GetTablets", "--strict="}, false), "false\ntrue\n:4\n");
  EXPECT_EQ(tool.settings.complete(Words{"--server", ""}, false), ":0\n") << "any text";
}

TEST(Completion, OffersFilesOnlyWhereFilesAreMeant) {
  Tool tool;
  EXPECT_EQ(tool.settings.complete(Words{"WritePath", "/a", ""}, false), ":0\n");
  EXPECT_EQ(tool.settings.complete(Words{"GetShard", ""}, false), ":4\n");
  EXPECT_EQ(tool.settings.complete(Words{"Legacy", "TopoCat", "--d"}, false), ":0\n");
}

TEST(Completion, ScriptNeedsNoRequiredSettings) {
  Tool tool;
  const auto outcome = tool.settings.parse(Words{"completion", "bash"});
  ASSERT_TRUE(outcome.ok()) << outcome.error().message();
  EXPECT_EQ(tool.settings.command_path(), (Words{"completion", "bash"}));
}

// Runs the script in a real bash, with a stand-in for the program that shows what it was asked.
TEST(Completion, BashScriptAsksTheProgramAndTakesItsAnswer) {
  Tool tool;
  std::string pattern = (std::filesystem::temp_directory_path() / "completion_test_XXXXXX").string();
  const std::string folder = ::mkdtemp(pattern.data());
  ASSERT_TRUE(
      write_file_atomically(folder + "/tool", "#!/bin/sh\nfor w in \"$@\"; do echo \"<$w>\"; done\necho :4\n", 0755)
          .ok());
  const std::string script = tool.settings.completion_script("bash") + "COMP_WORDS=(" + folder +
                             "/tool GetTablets --format = 'x y')\nCOMP_CWORD=4\n_tool_complete\n"
                             "printf '%s\\n' \"${COMPREPLY[@]}\" > " +
                             folder + "/out\n";
  ASSERT_TRUE(write_file_atomically(folder + "/script", script, 0644).ok());
  const int status = std::system(("bash -u " + folder + "/script").c_str());
  EXPECT_EQ(status, 0);
  EXPECT_EQ(read_file(folder + "/out").value_or(""), "<__completeNoDesc>\n<GetTablets>\n<--format=x y>\n");
  EXPECT_TRUE(remove_tree(folder).ok());
}

TEST(Settings, PassThroughHandsOnFlagsBehindTheFirstArgument) {
  {
    Tool tool;
    ASSERT_TRUE(
        tool.settings.parse(Words{"--server=a", "Legacy", "TopoCat", "--", "-decode_proto", "--server=b"}).ok());
    EXPECT_EQ(tool.settings.positional(), (Words{"TopoCat", "--", "-decode_proto", "--server=b"}));
    EXPECT_EQ(tool.server, "a");
  }
  Tool tool;
  ASSERT_TRUE(tool.settings.parse(Words{"Legacy", "--server", "a", "--", "TopoCat", "--long", "GetShard"}).ok());
  EXPECT_EQ(tool.settings.positional(), (Words{"TopoCat", "--long", "GetShard"}));
}

TEST(Settings, UnknownCommandsAreRefusedWithTheNearestThatIsShown) {
  Tool tool;
  const auto outcome = tool.settings.parse(Words{"--server=a", "GetTablet"});
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().message(), "unknown command \"GetTablet\" for \"tool\" (did you mean GetTablets?)");
  Tool other;
  const auto hidden = other.settings.parse(Words{"--server=a", "OldCommandX"});
  ASSERT_FALSE(hidden.ok());
  EXPECT_EQ(hidden.error().message().find("OldCommand?"), std::string::npos);
}

}  // namespace
}  // namespace vitrail::base
