#include "backup/storage.h"

#include <algorithm>

#include "backup/file_storage.h"
#include "backup/s3_storage.h"
#include "base/settings.h"
#include "base/text.h"

namespace vitrail::backup {
namespace {

bool is_plain(std::string_view part) {
  return !part.empty() && part != "." && part != ".." &&
         std::ranges::all_of(part, [](unsigned char c) { return c >= 0x20 && c != '/' && c != 0x7f; });
}

}  // namespace

Status Place::check() const {
  const auto parts = base::split(shard, '/');
  if (parts.size() != 2 || !std::ranges::all_of(parts, is_plain)) {
    return fail(Code::kInvalidArgument, "'" + shard + "' is not a shard: give keyspace/shard");
  }
  if (!is_plain(name)) return fail(Code::kInvalidArgument, "'" + name + "' is not the name of a backup");
  return {};
}

void declare(base::Settings& settings, StorageOptions& options) {
  settings
      .add("backup_storage_implementation", &options.implementation,
           "where backups are kept: file, a folder; s3, a bucket of S3 or of what speaks its protocol; empty: file "
           "when a "
           "folder is given")
      .one_of({"file", "s3", ""});
  settings.add("file_backup_storage_root", &options.file_root,
               "folder of backups: <keyspace>/<shard>/<backup>; the same for all tablets and vtctld (a network file "
               "system where they are on several machines)");
  S3Options& s3 = options.s3;
  settings.add("s3_backup_aws_region", &s3.region, "region of the bucket");
  settings
      .add("s3_backup_aws_endpoint", &s3.endpoint,
           "https://host:port of the storage; empty: Amazon's of the region. Keys come from AWS_ACCESS_KEY_ID and "
           "AWS_SECRET_ACCESS_KEY, or from ~/.aws/credentials")
      .check([](std::string_view text) -> Status {
        if (text.empty()) return {};
        auto endpoint = HttpEndpoint::parse(text);
        return endpoint.ok() ? Status() : Status(std::move(endpoint).error());
      });
  settings.add("s3_backup_storage_bucket", &s3.bucket, "the bucket; it must be there");
  settings.add("s3_backup_storage_root", &s3.root, "in front of the names of all objects");
  settings.add("s3_backup_force_path_style", &s3.force_path_style,
               "the bucket's name in the path, not in front of the host's");
  settings.add("s3_backup_tls_skip_verify_cert", &s3.tls_skip_verify, "accept any certificate of the storage");
  settings
      .add("s3_backup_server_side_encryption", &s3.encryption,
           "AES256 or aws:kms: how the storage encrypts; empty: as the bucket says")
      .one_of({"AES256", "aws:kms", ""});
  settings.add("s3_backup_aws_retries", &s3.retries, "how often a request that got no answer is repeated");
  settings.add("s3_backup_aws_min_partsize", &s3.part_bytes, "of the parts in which long files are uploaded")
      .unit("bytes");
}

Result<std::unique_ptr<Storage>> open_storage(const StorageOptions& options) {
  if (options.implementation == "s3") return S3Storage::open(options.s3);
  if (options.file_root.empty()) {
    return fail(Code::kFailedPrecondition,
                "no place for backups is configured: start with --backup_storage_implementation file and "
                "--file_backup_storage_root FOLDER, or with --backup_storage_implementation s3");
  }
  return std::unique_ptr<Storage>(std::make_unique<FileStorage>(options.file_root));
}

}  // namespace vitrail::backup
