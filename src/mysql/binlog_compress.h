#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "mysql/binlog_reader.h"

namespace vitrail::mysql {

// Inflates a zlib stream (or a bare deflate stream if `raw`) that must give exactly `size` bytes, into `out`.
//   kDataLoss : damaged input, another size, or a size that deflate cannot reach from this input; the latter is noticed
//               before memory is taken.
Status inflate_exactly(BinlogBytes packed, uint64_t size, bool raw, std::string& out);

// The same for a zstd stream. Memory is taken as far as the stream has been inflated.
Status inflate_zstd(BinlogBytes packed, uint64_t size, std::string& out);

}  // namespace vitrail::mysql
