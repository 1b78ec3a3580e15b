#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backup/http_exchange.h"
#include "backup/s3_signature.h"
#include "backup/storage.h"

namespace vitrail::backup {

// Backups in a bucket: the object [<root>/]<keyspace>/<shard>/<backup>/<file>. A file is one object that appears when
// it is whole; long ones are uploaded in parts. Requests that fail without an answer, or with one that says "later",
// are repeated.
class S3Storage final : public Storage {
 public:
  // kInvalidArgument, kFailedPrecondition: the options, or the keys.
  static Result<std::unique_ptr<Storage>> open(const S3Options& options);

  std::string describe() const override { return "bucket " + options_.bucket + " of " + endpoint_.host; }
  Result<std::vector<std::string>> list(const std::string& shard) override;
  Result<std::unique_ptr<FileWriter>> create(const Place& place, const std::string& file) override;
  Result<std::unique_ptr<FileReader>> open(const Place& place, const std::string& file) override;
  Result<uint64_t> size(const Place& place, const std::string& file) override;
  Status remove(const Place& place) override;

 private:
  class Writer;
  class Reader;
  using Query = std::map<std::string, std::string>;

  S3Storage(S3Options options, HttpEndpoint endpoint, S3Credentials credentials)
      : options_(std::move(options)), endpoint_(std::move(endpoint)), credentials_(std::move(credentials)) {}
  std::string key_of(const std::string& name) const;  // "keyspace/shard/..." in the bucket.
  Result<std::unique_ptr<HttpAnswer>> try_once(std::string_view method, const std::string& key, const Query& query,
                                               std::string_view body, const std::map<std::string, std::string>& more);
  // An answer of the 200s. Others are errors by what they say; some are worth another attempt.
  Result<std::unique_ptr<HttpAnswer>> request(std::string_view method, const std::string& key, const Query& query = {},
                                              std::string_view body = "",
                                              const std::map<std::string, std::string>& more = {});
  Result<std::string> request_text(std::string_view method, const std::string& key, const Query& query = {},
                                   std::string_view body = "", const std::map<std::string, std::string>& more = {});
  // Names below a prefix; with `delimiter` only the next parts of their paths.
  Result<std::vector<std::string>> list_keys(const std::string& prefix, bool delimiter);

  const S3Options options_;
  const HttpEndpoint endpoint_;
  const S3Credentials credentials_;
};

// The texts of all elements of a name, unescaped: of "<a><Key>x&amp;y</Key></a>", "x&y".
std::vector<std::string> xml_values(std::string_view text, std::string_view element);

}  // namespace vitrail::backup
