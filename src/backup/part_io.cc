#include "backup/part_io.h"

#include <fmt/core.h>
#include <zstd.h>

#include <memory>

#include "backup/checksum.h"

namespace vitrail::backup {
namespace {

constexpr size_t kChunk = 1 << 20;

Error stopped() { return fail(Code::kCanceled, "it was told to stop"); }

// Counts and sums up what goes to the storage.
class Stored {
 public:
  Stored(FileWriter& out, Progress& progress) : out_(out), progress_(progress) {}
  Status write(std::string_view bytes) {
    sum_.add(bytes);
    bytes_ += bytes.size();
    progress_.stored += bytes.size();
    return out_.write(bytes);
  }
  uint64_t bytes() const { return bytes_; }
  std::string hash() const { return sum_.to_hex(); }

 private:
  FileWriter& out_;
  Progress& progress_;
  Crc32c sum_;
  uint64_t bytes_ = 0;
};

class Compressor {
 public:
  explicit Compressor(int level) : context_(::ZSTD_createCCtx()), buffer_(::ZSTD_CStreamOutSize(), 0) {
    ::ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, level);
    ::ZSTD_CCtx_setParameter(context_, ZSTD_c_checksumFlag, 1);
  }
  ~Compressor() { ::ZSTD_freeCCtx(context_); }
  Compressor(const Compressor&) = delete;

  Status add(std::string_view bytes, bool last, Stored& out) {
    ::ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    for (;;) {
      ::ZSTD_outBuffer room{buffer_.data(), buffer_.size(), 0};
      const size_t left = ::ZSTD_compressStream2(context_, &room, &in, last ? ZSTD_e_end : ZSTD_e_continue);
      if (::ZSTD_isError(left)) return fail(Code::kInternal, fmt::format("zstd: {}", ::ZSTD_getErrorName(left)));
      RETURN_IF_ERROR(out.write(std::string_view(buffer_.data(), room.pos)));
      if (last ? left == 0 : in.pos == in.size) return {};
    }
  }

 private:
  ::ZSTD_CCtx* context_;
  std::string buffer_;
};

class Decompressor {
 public:
  Decompressor() : context_(::ZSTD_createDCtx()), buffer_(::ZSTD_DStreamOutSize(), 0) {}
  ~Decompressor() { ::ZSTD_freeDCtx(context_); }
  Decompressor(const Decompressor&) = delete;

  Status add(std::string_view bytes, const WriteAll& sink) {
    ::ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    for (;;) {
      ::ZSTD_outBuffer room{buffer_.data(), buffer_.size(), 0};
      const size_t left = ::ZSTD_decompressStream(context_, &room, &in);
      if (::ZSTD_isError(left)) {
        return fail(Code::kDataLoss, fmt::format("it is altered (zstd: {})", ::ZSTD_getErrorName(left)));
      }
      complete_ = left == 0;
      if (room.pos > 0) RETURN_IF_ERROR(sink(std::string_view(buffer_.data(), room.pos)));
      // A full buffer: there may be more to be flushed of what it has taken. Behind a frame's end it would begin
      // another.
      if (in.pos == in.size && (complete_ || room.pos < room.size)) return {};
    }
  }
  bool complete() const { return complete_; }

 private:
  ::ZSTD_DCtx* context_;
  std::string buffer_;
  bool complete_ = false;
};

}  // namespace

Result<Part> write_part(const ReadSome& source, FileWriter& out, bool compress, int level, Progress& progress) {
  Stored stored(out, progress);
  Compressor compressor(level);
  std::string buffer(kChunk, 0);
  uint64_t length = 0;
  for (;;) {
    if (progress.stop) return stopped();
    ASSIGN_OR_RETURN(const size_t got, source(buffer));
    const std::string_view bytes(buffer.data(), got);
    if (compress) {
      RETURN_IF_ERROR(compressor.add(bytes, got == 0, stored));
    } else if (got > 0) {
      RETURN_IF_ERROR(stored.write(bytes));
    }
    if (got == 0) break;
    length += got;
    progress.done += got;
  }
  RETURN_IF_ERROR(out.commit());
  Part part;
  part.hash = stored.hash();
  part.length = length;
  part.stored = stored.bytes();
  return part;
}

Status read_part(FileReader& in, const Part& part, bool compressed, const WriteAll& sink, Progress& progress) {
  Crc32c sum;
  Decompressor decompressor;
  std::string buffer(kChunk, 0);
  uint64_t stored = 0, length = 0;
  const WriteAll counted = [&](std::string_view bytes) -> Status {
    length += bytes.size();
    if (part.length && length > *part.length) {
      return fail(Code::kDataLoss, fmt::format("it is altered: it holds more than {} bytes", *part.length));
    }
    progress.done += bytes.size();
    return sink(bytes);
  };
  for (;;) {
    if (progress.stop) return stopped();
    ASSIGN_OR_RETURN(const size_t got, in.read(buffer));
    if (got == 0) break;
    const std::string_view bytes(buffer.data(), got);
    stored += got;
    if (part.stored && stored > *part.stored) {
      return fail(Code::kDataLoss, fmt::format("it is too long: more than {} bytes", *part.stored));
    }
    sum.add(bytes);
    progress.stored += got;
    RETURN_IF_ERROR(compressed ? decompressor.add(bytes, counted) : counted(bytes));
  }
  if (part.stored && stored < *part.stored) {
    return fail(Code::kDataLoss, fmt::format("it is truncated: {} bytes instead of {}", stored, *part.stored));
  }
  if (sum.to_hex() != part.hash) {
    return fail(Code::kDataLoss, fmt::format("it is altered: its hash is {} instead of {}", sum.to_hex(), part.hash));
  }
  if (compressed && !decompressor.complete()) return fail(Code::kDataLoss, "it is truncated");
  if (part.length && length != *part.length) {
    return fail(Code::kDataLoss, fmt::format("it is altered: it holds {} bytes instead of {}", length, *part.length));
  }
  return {};
}

}  // namespace vitrail::backup
