#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace vitrail::base {
class Settings;
}

namespace vitrail::backup {

// One file of a backup that is being written. Nobody sees it before commit(); without commit() nothing is left of it.
class FileWriter {
 public:
  virtual ~FileWriter() = default;
  //   kResourceExhausted: the storage is full.
  virtual Status write(std::string_view bytes) = 0;
  // What was written is durable and visible when it returns.
  virtual Status commit() = 0;
};

class FileReader {
 public:
  virtual ~FileReader() = default;
  // Bytes read into `buffer`; 0 at the end.
  virtual Result<size_t> read(std::span<char> buffer) = 0;
};

// Where one backup lies: "commerce/-80" and "2026-01-02.150405.zone1-0000000100".
struct Place {
  std::string shard;
  std::string name;

  std::string to_string() const { return shard + "/" + name; }
  //   kInvalidArgument: a part that is empty, or would lead elsewhere ("..", a slash in the name).
  Status check() const;
};

// The file whose presence makes a backup of a folder with parts. It is written last and removed first.
inline constexpr std::string_view kManifestFile = "MANIFEST";

// Keeps backups: named files below a place. Every implementation passes storage_conformance_test.cc.
//
//   Threads: any, at the same time; one at a time for each reader and writer.
//   Errors : kNotFound, kResourceExhausted (full), kPermissionDenied, kUnavailable (it is away). Names are checked:
//            Place::check().
class Storage {
 public:
  virtual ~Storage() = default;
  // For people: "folder /backups".
  virtual std::string describe() const = 0;
  // Names of all backups of a shard, whole or not, sorted. Empty when nothing was ever stored there.
  virtual Result<std::vector<std::string>> list(const std::string& shard) = 0;
  // Begins a file. One that is there already is replaced at commit().
  virtual Result<std::unique_ptr<FileWriter>> create(const Place& place, const std::string& file) = 0;
  virtual Result<std::unique_ptr<FileReader>> open(const Place& place, const std::string& file) = 0;
  // Length in bytes.
  virtual Result<uint64_t> size(const Place& place, const std::string& file) = 0;
  // Removes a backup: first its MANIFEST, so that whatever is left after a failure is no backup any more. kNotFound.
  virtual Status remove(const Place& place) = 0;
};

// A bucket of S3, or of what speaks its protocol.
struct S3Options {
  std::string region = "us-east-1";
  std::string endpoint;  // "https://host:port", "host"; empty: Amazon's of the region.
  std::string bucket;
  std::string root;               // In front of all names.
  bool force_path_style = false;  // The bucket in the path, not in the host's name.
  bool tls_skip_verify = false;
  std::string encryption;  // "AES256", "aws:kms"; empty: as the bucket says.
  uint32_t retries = 3;
  uint64_t part_bytes = 8u << 20;                     // Of an upload; at least 5 MiB.
  base::Duration timeout = std::chrono::seconds(60);  // Without a byte.
};

struct StorageOptions {
  std::string implementation;  // "file", "s3"; empty: "file" when a folder is given.
  std::string file_root;
  S3Options s3;
};

// Declares --backup_storage_implementation and the flags of each.
void declare(base::Settings& settings, StorageOptions& options);
// kFailedPrecondition: none is configured; says by which flags.
Result<std::unique_ptr<Storage>> open_storage(const StorageOptions& options);

}  // namespace vitrail::backup
