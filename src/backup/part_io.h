#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "backup/manifest.h"
#include "backup/storage.h"
#include "base/result.h"

namespace vitrail::backup {

// What a transfer tells while it runs, and how it is told to stop. Any thread.
struct Progress {
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> total = 0;  // Bytes of the server's files.
  std::atomic<uint64_t> done = 0;
  std::atomic<uint64_t> stored = 0;  // In the storage.
};

// Fills in what it can of `buffer`; 0 at the end.
using ReadSome = std::function<Result<size_t>(std::span<char> buffer)>;
using WriteAll = std::function<Status(std::string_view bytes)>;

// Stores what `source` gives, compressed at `level` unless `compress` is false, and returns the part's hash and lengths
// (not its names). Commits the file.
Result<Part> write_part(const ReadSome& source, FileWriter& out, bool compress, int level, Progress& progress);

// Gives the original bytes of a part to `sink` and checks them against the manifest: lengths, the hash, and zstd's own
// checksum. `sink` may have been given wrong bytes when this fails.
//   kDataLoss: truncated, longer, or altered: which of them.   kCanceled: told to stop.
Status read_part(FileReader& in, const Part& part, bool compressed, const WriteAll& sink, Progress& progress);

}  // namespace vitrail::backup
