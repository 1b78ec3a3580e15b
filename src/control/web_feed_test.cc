#include "control/web_feed.h"

#include <gtest/gtest.h>

#include <atomic>

namespace vitrail::control {
namespace {

using namespace std::chrono_literals;

class WebFeedTest : public testing::Test {
 protected:
  ~WebFeedTest() override { net::block_on(loop_.loop(), feed_.stop()); }

  net::Task<Result<std::string>> make(std::string name) {
    ++made_;
    if (name == "bad") co_return fail(Code::kNotFound, "no \"bad\" here");
    co_return "{\"" + name + "\":" + std::to_string(value_) + "}";
  }
  // What comes until `part` is in it.
  static std::string read_until(rpc::HttpResponse& stream, const std::string& part) {
    std::string out;
    for (int i = 0; i < 200 && out.find(part) == std::string::npos; ++i) out += stream.more().value_or("(end)");
    return out;
  }

  std::atomic<int> value_ = 1;
  std::atomic<int> made_ = 0;
  net::LoopThread loop_{"test"};
  WebFeed feed_{loop_.loop(), [this](std::string name) { return make(std::move(name)); }, 5ms};
};

TEST_F(WebFeedTest, SendsADocumentAtFirstAndWhenItChanges) {
  auto stream = feed_.open({"a", "b", "a"});
  EXPECT_EQ(stream.content_type, "text/event-stream");
  std::string text = read_until(stream, "data: {\"b\":1}\n\n");
  if (text.find("event: a") == std::string::npos) text += read_until(stream, "event: a");
  EXPECT_NE(text.find("event: a\ndata: {\"a\":1}\n\n"), std::string::npos) << text;
  value_ = 2;
  EXPECT_NE(read_until(stream, "data: {\"a\":2}").find("event: a\n"), std::string::npos);
  // Who comes later gets what is there.
  auto second = feed_.open({"a"});
  EXPECT_EQ(read_until(second, "}").find("event: a\ndata: {\"a\":2}\n\n"), 0);
  // Nothing changes: comments.
  EXPECT_EQ(second.more(), ":\n\n");
}

TEST_F(WebFeedTest, MakesNothingForNobody) {
  {
    auto stream = feed_.open({"a"});
    read_until(stream, "}");
  }
  // The task sees at its next turn that nobody watches, and ends.
  for (int before = -1; before != made_;) {
    before = made_;
    net::block_on(loop_.loop(), net::sleep_for(50ms)).ok();
  }
  auto stream = feed_.open({"a"});
  EXPECT_NE(read_until(stream, "}").find("{\"a\":1}"), std::string::npos);
}

TEST_F(WebFeedTest, SendsErrorsAsDocuments) {
  auto stream = feed_.open({"bad"});
  EXPECT_EQ(read_until(stream, "}"), "event: bad\ndata: {\"error\": \"no \\\"bad\\\" here\"}\n\n");
}

TEST_F(WebFeedTest, EndsItsStreams) {
  auto stream = feed_.open({"a"});
  net::block_on(loop_.loop(), feed_.stop());
  EXPECT_EQ(stream.more(), std::nullopt);
}

TEST_F(WebFeedTest, RefusesTooManyNames) {
  EXPECT_EQ(feed_.open({}).status, 400);
  std::vector<std::string> many;
  for (size_t i = 0; i <= WebFeed::kNamesMax; ++i) many.push_back("d" + std::to_string(i));
  EXPECT_EQ(feed_.open(many).status, 400);
}

}  // namespace
}  // namespace vitrail::control
