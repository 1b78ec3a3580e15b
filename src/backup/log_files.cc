#include "backup/log_files.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <algorithm>
#include <cerrno>

#include "backup/descriptor.h"
#include "base/file.h"
#include "mysql/binlog_event.h"

namespace vitrail::backup {
namespace {

using mysql::EventType;

constexpr size_t kWindow = 1u << 20;
constexpr uint64_t kWantedBytesMax = 64u << 20;  // Of one of the events that are looked into.

bool is_wanted(EventType type) {
  switch (type) {
    case EventType::kFormatDescription:
    case EventType::kGtid:
    case EventType::kAnonymousGtid:
    case EventType::kGtidTagged:
    case EventType::kPreviousGtids:
    case EventType::kMariadbGtid:
    case EventType::kMariadbGtidList:
    case EventType::kMariadbStartEncryption: return true;
    default: return false;
  }
}

// Reads pieces of a file that lie behind each other, without a call for each.
class Window {
 public:
  explicit Window(int fd) : fd_(fd), bytes_(kWindow) {}

  // `length` bytes from `offset` on; fewer at the end of the file.
  Result<mysql::BinlogBytes> at(uint64_t offset, size_t length) {
    if (offset < begin_ || offset + length > begin_ + have_) {
      if (bytes_.size() < length) bytes_.resize(length);
      begin_ = offset;
      have_ = 0;
      while (have_ < bytes_.size()) {
        const ssize_t got =
            ::pread(fd_, bytes_.data() + have_, bytes_.size() - have_, static_cast<off_t>(begin_ + have_));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return base::system_error(errno, "read");
        if (got == 0) break;
        have_ += static_cast<size_t>(got);
      }
    }
    return mysql::BinlogBytes(bytes_.data() + (offset - begin_), std::min<uint64_t>(length, begin_ + have_ - offset));
  }

 private:
  const int fd_;
  std::vector<uint8_t> bytes_;
  uint64_t begin_ = 0;
  size_t have_ = 0;
};

using TakeEvent = std::function<Result<bool>(const mysql::BinlogEvent& event)>;

Status walk_events(Window& window, const TakeEvent& take) {
  ASSIGN_OR_RETURN(const auto magic, window.at(0, mysql::kBinlogMagic.size()));
  if (!std::ranges::equal(magic, mysql::kBinlogMagic)) {
    return fail(Code::kDataLoss, "it does not begin as a binary log does");
  }
  auto checksum = mysql::ChecksumAlgorithm::kUnknown;
  for (uint64_t offset = mysql::kBinlogMagic.size();;) {
    ASSIGN_OR_RETURN(const auto head, window.at(offset, mysql::kEventHeaderSize));
    if (head.empty()) return {};
    ASSIGN_OR_RETURN(const auto header, mysql::parse_event_header(head));
    if (is_wanted(header.type)) {
      if (header.event_size > kWantedBytesMax) return fail(Code::kDataLoss, "one of its events is too long");
      ASSIGN_OR_RETURN(const auto bytes, window.at(offset, header.event_size));
      ASSIGN_OR_RETURN(const auto event, mysql::parse_event(bytes, checksum));
      if (header.type == EventType::kFormatDescription) {
        ASSIGN_OR_RETURN(const auto format, mysql::parse_format_description(event.body));
        checksum = format.checksum;
      } else if (header.type == EventType::kMariadbStartEncryption) {
        return fail(Code::kUnimplemented, "it is encrypted: incremental backups need logs that are not");
      } else {
        ASSIGN_OR_RETURN(const bool more, take(event));
        if (!more) return {};
      }
    }
    offset += header.event_size;
  }
}

Status walk_file(const std::string& path, const TakeEvent& take) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return base::system_error(errno, "open " + path);
  Window window(file.get());
  Status walked = walk_events(window, take);
  return walked.ok() ? Status() : Status(std::move(walked).error().with_context("binary log " + path));
}

bool is_list(const mysql::BinlogEvent& event) {
  return event.header.type == EventType::kPreviousGtids || event.header.type == EventType::kMariadbGtidList;
}

}  // namespace

Result<mysql::Position> log_start(const std::string& path) {
  std::optional<mysql::Position> start;
  RETURN_IF_ERROR(walk_file(path, [&](const mysql::BinlogEvent& event) -> Result<bool> {
    if (!is_list(event)) return false;
    ASSIGN_OR_RETURN(start, mysql::parse_gtid_list(event));
    return false;
  }));
  if (start) return *start;
  return fail(Code::kDataLoss, fmt::format("binary log {} does not say which transactions are before it", path));
}

Result<size_t> first_log_needed(std::span<const mysql::Position> starts, const mysql::Position& from) {
  if (starts.empty()) return fail(Code::kFailedPrecondition, "the server has no binary logs");
  ASSIGN_OR_RETURN(const bool came_there, starts.back().at_least(from));
  if (!came_there) {
    return fail(Code::kFailedPrecondition, fmt::format("the server is at {}, and has not come to {}",
                                                       starts.back().prefixed_string(), from.prefixed_string()));
  }
  for (size_t i = starts.size(); i-- > 0;) {
    ASSIGN_OR_RETURN(const bool before, from.at_least(starts[i]));
    if (before) return i;
  }
  return fail(Code::kFailedPrecondition,
              fmt::format("the server's binary logs begin at {}, and do not reach back to {}: take a full backup",
                          starts.front().prefixed_string(), from.prefixed_string()));
}

Status walk_log(const std::string& path, const TakeTransaction& take) {
  return walk_file(path, [&](const mysql::BinlogEvent& event) -> Result<bool> {
    if (is_list(event)) return true;
    ASSIGN_OR_RETURN(const auto begin, mysql::parse_gtid_event(event));
    if (!begin.gtid) return fail(Code::kUnimplemented, "it has transactions without GTIDs");
    return take(*begin.gtid, base::WallTime(std::chrono::seconds(event.header.timestamp)));
  });
}

Result<mysql::Position> position_before(std::span<const std::string> logs, mysql::Position from, base::WallTime until) {
  Status added;
  bool reached = false;
  for (const auto& log : logs) {
    if (reached) break;
    RETURN_IF_ERROR(walk_log(log, [&](const mysql::Gtid& gtid, base::WallTime time) {
      const auto known = from.contains(gtid);
      if (known.ok() && *known) return true;
      reached = time >= until;
      if (!reached) added = from.add(gtid);
      return !reached && added.ok();
    }));
    RETURN_IF_ERROR(std::move(added));
    added = Status();
  }
  return from;
}

}  // namespace vitrail::backup
