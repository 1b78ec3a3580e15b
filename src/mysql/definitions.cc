#include "mysql/definitions.h"

#include "mysql/packet.h"
#include "mysql/protocol.h"

namespace vitrail::mysql {
namespace {

constexpr size_t kMaxColumns = 4096;
constexpr size_t kMaxDefinitions = size_t{8} << 20;  // Longer ones are passed as they are.
constexpr std::string_view kCatalog = "\3def";

uint32_t frame_length(std::string_view frames, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(frames[at + i])); };
  return byte(0) | byte(1) << 8 | byte(2) << 16;
}

// Copies what stands in front of the definition at `at` and the definition with its new schema; `from` moves behind it.
// false: it has another schema.
bool rename_one(std::string_view frames, size_t at, uint32_t length, const SchemaRename& rename, size_t& from,
                std::string& out) {
  const std::string_view payload = frames.substr(at + kPacketHeaderSize, length);
  const size_t schema = kCatalog.size();
  if (payload.size() <= schema + rename.from.size() || !payload.starts_with(kCatalog)) return false;
  if (static_cast<uint8_t>(payload[schema]) != rename.from.size()) return false;
  if (payload.substr(schema + 1, rename.from.size()) != rename.from) return false;
  const std::string_view rest = payload.substr(schema + 1 + rename.from.size());
  const size_t now = schema + 1 + rename.to.size() + rest.size();
  out.append(frames.substr(from, at - from));
  for (int shift = 0; shift < 24; shift += 8) out += static_cast<char>(now >> shift & 0xff);
  out += frames[at + 3];  // The frame keeps its number.
  out.append(kCatalog);
  out += static_cast<char>(rename.to.size());
  out.append(rename.to);
  out.append(rest);
  from = at + kPacketHeaderSize + length;
  return true;
}

bool usable(const SchemaRename& rename) { return rename.from.size() < 0xfb && rename.to.size() < 0xfb; }

}  // namespace

RenamedResult rename_result(std::string_view framed, const SchemaRename& rename) {
  if (!usable(rename)) return {};
  if (framed.size() <= kPacketHeaderSize) return {.complete = false};
  const auto first = static_cast<uint8_t>(framed[kPacketHeaderSize]);
  if (first == kOkHeader || first == kErrHeader || first == kLocalInfileHeader) return {};
  const uint32_t length = frame_length(framed, 0);
  if (length > 3) return {};  // No count of columns.
  if (framed.size() < kPacketHeaderSize + length) return {.complete = false};
  ByteReader reader(framed.substr(kPacketHeaderSize, length));
  const uint64_t columns = reader.lenenc_int();
  if (!reader.ok() || columns > kMaxColumns) return {};
  size_t at = kPacketHeaderSize + length;
  size_t copied = 0;
  std::string changed;
  for (uint64_t i = 0; i < columns; ++i) {
    const bool too_long = framed.size() > kMaxDefinitions;
    if (framed.size() - at <= kPacketHeaderSize) return {.complete = too_long};
    const uint32_t size = frame_length(framed, at);
    if (size == kMaxFramePayload || static_cast<uint8_t>(framed[at + kPacketHeaderSize]) == kErrHeader) return {};
    if (framed.size() - at - kPacketHeaderSize < size) return {.complete = too_long};
    rename_one(framed, at, size, rename, copied, changed);
    at += kPacketHeaderSize + size;
  }
  if (copied == 0) return {};
  changed.append(framed.substr(copied, at - copied));
  return {.size = at, .changed = std::move(changed)};
}

std::string rename_definitions(std::string framed, const SchemaRename& rename) {
  if (!usable(rename)) return framed;
  const std::string_view frames = framed;
  size_t copied = 0;
  std::string changed;
  for (size_t at = 0; frames.size() - at > kPacketHeaderSize;) {
    const uint32_t size = frame_length(frames, at);
    if (frames.size() - at - kPacketHeaderSize < size) break;
    rename_one(frames, at, size, rename, copied, changed);
    at += kPacketHeaderSize + size;
  }
  if (copied == 0) return framed;
  changed.append(frames.substr(copied));
  return changed;
}

}  // namespace vitrail::mysql
