#include "backup/s3_storage.h"

#include <gtest/gtest.h>

namespace vitrail::backup {
namespace {

const S3Credentials kExample{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""};
const base::WallTime kExampleTime(std::chrono::seconds(1369353600));  // 2013-05-24T00:00:00Z

std::string signature_of(S3Request request) {
  request.headers["host"] = "examplebucket.s3.amazonaws.com";
  sign(request, kExample, "us-east-1", kExampleTime);
  const std::string& text = request.headers["authorization"];
  return text.substr(text.rfind('=') + 1);
}

// The examples of the API reference.
TEST(S3Signature, IsThatOfTheReference) {
  EXPECT_EQ(signature_of({.method = "GET",
                          .path = "/test.txt",
                          .query = {},
                          .headers = {{"range", "bytes=0-9"}},
                          .body_hash = sha256_hex("")}),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  EXPECT_EQ(signature_of({.method = "GET",
                          .path = "/",
                          .query = {{"max-keys", "2"}, {"prefix", "J"}},
                          .headers = {},
                          .body_hash = sha256_hex("")}),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
  EXPECT_EQ(signature_of(
                {.method = "PUT",
                 .path = "/test$file.text",
                 .query = {},
                 .headers = {{"date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
                 .body_hash = sha256_hex("Welcome to Amazon S3.")}),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

TEST(S3Signature, EncodesNames) {
  EXPECT_EQ(percent_encode("a/b c+-._~\xc3\xa4", true), "a/b%20c%2B-._~%C3%A4");
  EXPECT_EQ(percent_encode("a/b=", false), "a%2Fb%3D");
}

TEST(S3Credentials, AreThoseOfTheProfile) {
  const std::string text =
      "[default]\naws_access_key_id = a\naws_secret_access_key=b=c\n# x\n[other]\naws_access_key_id=d\n"
      "aws_secret_access_key = e\naws_session_token = f\n[half]\naws_access_key_id=g\n";
  const auto first = parse_s3_credentials(text, "default"), second = parse_s3_credentials(text, "other");
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->key_id + first->secret + first->token, "ab=c");
  EXPECT_EQ(second->key_id + second->secret + second->token, "def");
  EXPECT_FALSE(parse_s3_credentials(text, "half").ok());
  EXPECT_FALSE(parse_s3_credentials(text, "none").ok());
}

TEST(S3Answers, AreReadWhereTheyAreNeeded) {
  const std::string text =
      "<ListBucketResult><Prefix>ks/</Prefix><CommonPrefixes><Prefix>ks/a&amp;lt;b/</Prefix></CommonPrefixes>"
      "<CommonPrefixes><Prefix>ks/c/</Prefix></CommonPrefixes></ListBucketResult>";
  const auto pieces = xml_values(text, "CommonPrefixes");
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(xml_values(pieces[1], "Prefix"), (std::vector<std::string>{"ks/c/"}));
  EXPECT_EQ(xml_values("<Key>a&amp;b&quot;</Key><Key>open", "Key"), (std::vector<std::string>{"a&b\""}));
}

TEST(HttpEndpoint, IsRead) {
  struct Case {
    const char *text, *authority;
  };
  for (const auto& c :
       {Case{"https://s3.example.com", "s3.example.com"}, Case{"http://127.0.0.1:9000/", "127.0.0.1:9000"},
        Case{"host:8443", "host:8443"}, Case{"http://h:80", "h"}, Case{"https://h:443", "h"}}) {
    const auto endpoint = HttpEndpoint::parse(c.text);
    ASSERT_TRUE(endpoint.ok()) << c.text;
    EXPECT_EQ(endpoint->authority(), c.authority);
  }
  for (const char* text : {"", "http://", "h:0", "h:x", "h:99999", "h/path", "user@h"}) {
    EXPECT_FALSE(HttpEndpoint::parse(text).ok()) << text;
  }
}

}  // namespace
}  // namespace vitrail::backup
