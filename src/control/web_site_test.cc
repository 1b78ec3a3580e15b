#include "control/web_site.h"

#include <gtest/gtest.h>
#include <zlib.h>

namespace vitrail::control {
namespace {

std::string gzip(std::string_view text) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(text.size() + 100, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

TEST(WebSite, ServesItsFiles) {
  const std::string page = gzip("<p>page</p>");
  const std::string script = gzip("1;");
  const WebFile files[] = {{"/index.html", "text/html", page}, {"/assets/a-1.js", "text/javascript", script}};
  const WebSite site(files);
  const auto plain = site.answer({.method = "GET", .path = "/"});
  EXPECT_EQ(plain.body, "<p>page</p>");
  EXPECT_EQ(plain.content_type, "text/html");
  EXPECT_EQ(plain.headers.at("Cache-Control"), "no-cache");
  EXPECT_EQ(plain.headers.at("Content-Security-Policy").find("unsafe"), std::string::npos);
  const auto packed =
      site.answer({.method = "GET", .path = "/assets/a-1.js", .headers = {{"accept-encoding", "br, gzip"}}});
  EXPECT_EQ(packed.body, script);
  EXPECT_EQ(packed.headers.at("Content-Encoding"), "gzip");
  EXPECT_NE(packed.headers.at("Cache-Control").find("immutable"), std::string::npos);
  const std::string tag = plain.headers.at("ETag");
  EXPECT_NE(tag, packed.headers.at("ETag"));
  const auto known = site.answer({.method = "GET", .path = "/", .headers = {{"if-none-match", "W/" + tag}}});
  EXPECT_EQ(known.status, 304);
  EXPECT_EQ(known.body, "");
  EXPECT_EQ(site.answer({.method = "GET", .path = "/assets/b.js"}).status, 404);
  EXPECT_EQ(site.answer({.method = "POST", .path = "/"}).status, 405);
}

TEST(WebSite, SaysThatItWasBuiltWithoutPages) {
  const auto answer = WebSite({}).answer({.method = "GET", .path = "/"});
  EXPECT_EQ(answer.status, 503);
  EXPECT_NE(answer.body.find("./dev build"), std::string::npos);
}

}  // namespace
}  // namespace vitrail::control
