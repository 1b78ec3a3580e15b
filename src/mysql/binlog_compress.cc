#include "mysql/binlog_compress.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <limits>
#include <memory>

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

Status inflate_zstd(BinlogBytes packed, uint64_t size, std::string& out) {
  constexpr uint64_t kStep = 1u << 20;
  const auto damaged = [] { return fail(Code::kDataLoss, "a compressed transaction of the binary log is damaged"); };
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(::ZSTD_createDCtx(), ::ZSTD_freeDCtx);
  if (context == nullptr) return fail(Code::kResourceExhausted, "zstd has no memory to inflate a transaction");
  ZSTD_inBuffer from{packed.data(), packed.size(), 0};
  out.clear();
  uint64_t have = 0;
  size_t wanted = 1;  // By zstd; 0 at the end of a frame.
  while (wanted != 0 || from.pos < from.size) {
    if (have == out.size()) out.resize(std::min(size, have + kStep));
    char none = 0;
    ZSTD_outBuffer to{out.empty() ? &none : out.data() + have, out.size() - have, 0};
    const size_t consumed = from.pos;
    wanted = ::ZSTD_decompressStream(context.get(), &to, &from);
    have += to.pos;
    if (::ZSTD_isError(wanted) != 0 || (to.pos == 0 && from.pos == consumed)) return damaged();
  }
  if (have != size) return damaged();
  out.resize(size);
  return {};
}

}  // namespace vitrail::mysql
