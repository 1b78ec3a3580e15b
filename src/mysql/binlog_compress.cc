#include "mysql/binlog_compress.h"

#include <zlib.h>

#include <limits>

namespace vitrail::mysql {

Status inflate_exactly(BinlogBytes packed, uint64_t size, bool raw, std::string& out) {
  // Deflate cannot beat 258 bytes for 2 bits, so 1032 to 1.
  constexpr uint64_t kExpansionMax = 1032;
  if (size > packed.size() * kExpansionMax || packed.size() > std::numeric_limits<uInt>::max() ||
      size > std::numeric_limits<uInt>::max()) {
    return fail(Code::kDataLoss, "compressed data of the binary log names an impossible size");
  }
  out.resize(size);
  z_stream stream{};
  if (inflateInit2(&stream, raw ? -MAX_WBITS : MAX_WBITS) != Z_OK) {
    return fail(Code::kResourceExhausted, "zlib has no memory to inflate binary log data");
  }
  stream.next_in = const_cast<Bytef*>(packed.data());
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(size);
  // zlib refuses a null output pointer even for an empty result.
  Bytef empty = 0;
  if (size == 0) stream.next_out = &empty;
  const int outcome = inflate(&stream, Z_FINISH);
  const bool complete = outcome == Z_STREAM_END && stream.avail_out == 0;
  inflateEnd(&stream);
  if (!complete) return fail(Code::kDataLoss, "compressed data of the binary log is damaged");
  return {};
}

}  // namespace vitrail::mysql
