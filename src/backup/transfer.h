#pragma once

#include <map>
#include <string>
#include <vector>

#include "backup/manifest.h"
#include "backup/part_io.h"
#include "backup/storage.h"
#include "base/result.h"

// Many parts at once.
namespace vitrail::backup {

struct SourceFile {
  std::string base, name;  // As in Part.
  std::string path;
  uint64_t size = 0;
};

struct TransferOptions {
  unsigned concurrency = 4;
  bool compress = true;
  int level = 1;
  uint64_t piece_bytes = 256u << 20;  // Longer files are cut, so that one of them does not hold up the others.
};

// Stores the files, which nobody may change meanwhile, as parts "0", "1" ... of the backup.
//   The first error ends it, and names the file; what was stored so far stays.
Result<std::vector<Part>> store_files(Storage& storage, const Place& place, const std::vector<SourceFile>& files,
                                      const TransferOptions& options, Progress& progress);

// All parts are there and have their lengths. Reads none of them.
//   kDataLoss: names the first that is missing, truncated or too long.
Status check_parts(Storage& storage, const Place& place, const Manifest& manifest);

// Reads every part and checks it, and writes nothing. kDataLoss names the part.
Status verify_parts(Storage& storage, const Place& place, const Manifest& manifest, const TransferOptions& options,
                    Progress& progress);

// Writes the server's files anew below the folders of their bases ("Data" -> "/vt/vt_100/restore/data"), and checks
// every part. Durable when it returns.
//   kDataLoss: names the part.   kResourceExhausted: the disk is full.   kInvalidArgument: a base without a folder.
Status restore_parts(Storage& storage, const Place& place, const Manifest& manifest,
                     const std::map<std::string, std::string>& folders, const TransferOptions& options,
                     Progress& progress);

}  // namespace vitrail::backup
