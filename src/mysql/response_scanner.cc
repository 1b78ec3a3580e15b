#include "mysql/response_scanner.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "mysql/packet.h"
#include "mysql/session_track.h"
#include "mysql/statements.h"

namespace vitrail::mysql {
namespace {

// More columns than any server sends; bounds what a broken peer can make us expect.
constexpr uint64_t kMaxColumns = 65535;
constexpr size_t kEofSize = 5;

uint32_t load_header(const char* bytes) {
  uint32_t word = 0;
  std::memcpy(&word, bytes, sizeof(word));
  return word;
}

}  // namespace

std::optional<ResponseKind> response_kind(Command command) {
  switch (command) {
    case Command::kQuery: return ResponseKind::kQuery;
    case Command::kStmtPrepare: return ResponseKind::kStmtPrepare;
    case Command::kStmtExecute: return ResponseKind::kStmtExecute;
    case Command::kStmtFetch: return ResponseKind::kStmtFetch;
    case Command::kFieldList: return ResponseKind::kFieldList;
    case Command::kStatistics: return ResponseKind::kStatistics;
    case Command::kProcessInfo: return ResponseKind::kQuery;
    case Command::kInitDb:
    case Command::kCreateDb:
    case Command::kDropDb:
    case Command::kRefresh:
    case Command::kShutdown:
    case Command::kProcessKill:
    case Command::kDebug:
    case Command::kPing:
    case Command::kRegisterReplica:
    case Command::kStmtReset:
    case Command::kSetOption:
    case Command::kResetConnection: return ResponseKind::kSimple;
    default: return std::nullopt;
  }
}

void ResponseScanner::start(ResponseKind kind, Capabilities capabilities, uint8_t first_sequence) {
  *this = ResponseScanner();
  kind_ = kind;
  capabilities_ = capabilities;
  sequence_ = first_sequence;
  switch (kind) {
    case ResponseKind::kStmtFetch: step_ = Step::kRows; break;
    case ResponseKind::kFieldList: step_ = Step::kDefinitions; break;
    case ResponseKind::kStatistics: step_ = Step::kText; break;
    default: step_ = Step::kFirst;
  }
}

ResponseScanner::Outcome ResponseScanner::outcome(size_t consumed, const StatusSpan& status) {
  total_ += consumed;
  State state = State::kMore;
  if (step_ == Step::kDone) state = State::kDone;
  if (step_ == Step::kInfile) state = State::kInfile;
  if (step_ == Step::kMalformed) state = State::kMalformed;
  return {consumed, state, status};
}

ResponseScanner::Outcome ResponseScanner::feed(std::string_view bytes) {
  size_t position = 0;
  StatusSpan status;
  while (step_ != Step::kDone && step_ != Step::kInfile && step_ != Step::kMalformed) {
    if (in_message_) {
      const size_t taken = std::min<size_t>(skip_, bytes.size() - position);
      position += taken;
      skip_ -= static_cast<uint32_t>(taken);
      if (skip_ > 0) break;
      if (!continued_) {
        message_passed();
        continue;
      }
    } else if (step_ == Step::kRows) {
      position = hop_rows(bytes, position);
      if (in_message_) continue;
    }

    const size_t left = bytes.size() - position;
    if (left < kPacketHeaderSize) break;
    const uint32_t word = load_header(bytes.data() + position);
    const uint32_t length = word & 0xffffff;
    if (word >> 24 != sequence_) {
      step_ = Step::kMalformed;
      break;
    }
    if (in_message_) {  // A further frame of the message, possibly empty.
      ++sequence_;
      position += kPacketHeaderSize;
      skip_ = length;
      continued_ = length == kMaxFramePayload;
      continue;
    }
    if (length == 0 && step_ != Step::kText) {
      step_ = Step::kMalformed;
      break;
    }
    if (length > 0 && left < kPacketHeaderSize + 1) break;
    const uint8_t first = length > 0 ? static_cast<uint8_t>(bytes[position + kPacketHeaderSize]) : 0;
    if (!must_be_whole(first, length)) {
      if (step_ == Step::kRows && rows_max_ != 0 && summary_.rows >= rows_max_) {
        Outcome stopped = outcome(position, status);
        stopped.state = State::kRowsMax;
        return stopped;
      }
      decided_ = true;
      in_message_ = true;
      ++sequence_;
      position += kPacketHeaderSize;
      skip_ = length;
      continued_ = length == kMaxFramePayload;
      continue;
    }
    if (length > kMaxWholeMessage) {
      step_ = Step::kMalformed;
      break;
    }
    if (left - kPacketHeaderSize < length) break;
    if (!take_whole(bytes.substr(position + kPacketHeaderSize, length), position + kPacketHeaderSize, status)) {
      step_ = Step::kMalformed;
      break;
    }
    decided_ = true;
    ++sequence_;
    position += kPacketHeaderSize + length;
    if (status.present()) break;
  }
  return outcome(position, status);
}

// The loop that relaying lives in: whole rows of one frame, as long as the bytes last.
size_t ResponseScanner::hop_rows(std::string_view bytes, size_t position) {
  const char* const data = bytes.data();
  const size_t size = bytes.size();
  uint8_t sequence = sequence_;
  const size_t begin = position;
  uint64_t rows = 0;
  const uint64_t rows_max = rows_max_ == 0 ? UINT64_MAX : rows_max_ - std::min(rows_max_, summary_.rows);
  while (size - position > kPacketHeaderSize && rows < rows_max) {
    const uint32_t word = load_header(data + position);
    const uint32_t length = word & 0xffffff;
    const auto first = static_cast<uint8_t>(data[position + kPacketHeaderSize]);
    // The ends, huge rows and broken frames are for the careful path.
    if (word >> 24 != sequence || length == 0 || length == kMaxFramePayload || first >= kEofHeader) break;
    ++sequence;
    if (size - position - kPacketHeaderSize < length) {
      skip_ = static_cast<uint32_t>(length - (size - position - kPacketHeaderSize));
      continued_ = false;
      in_message_ = true;
      position = size;
      break;
    }
    position += kPacketHeaderSize + length;
    ++rows;
  }
  sequence_ = sequence;
  summary_.rows += rows;
  if (position != begin) decided_ = true;
  return position;
}

bool ResponseScanner::must_be_whole(uint8_t first, uint32_t length) const {
  switch (step_) {
    case Step::kFirst:
    case Step::kDefinitionsEnd: return true;
    case Step::kDefinitions:
      return first == kErrHeader || (kind_ == ResponseKind::kFieldList && is_result_end(first, length, capabilities_));
    case Step::kRows: return first == kErrHeader || is_result_end(first, length, capabilities_);
    default: return false;
  }
}

bool ResponseScanner::take_whole(std::string_view payload, size_t offset, StatusSpan& status) {
  const auto first = static_cast<uint8_t>(payload[0]);
  if (first == kErrHeader) return take_err(payload);
  switch (step_) {
    case Step::kFirst: return take_first(payload, offset, status);
    case Step::kDefinitionsEnd: {
      if (!take_eof(payload, offset, status)) return false;
      end_of_definitions(summary_.status_flags);
      return true;
    }
    default: {
      const bool taken =
          payload.size() == kEofSize ? take_eof(payload, offset, status) : take_ok(payload, offset, status);
      if (taken) end_of_result();
      return taken;
    }
  }
}

bool ResponseScanner::take_first(std::string_view payload, size_t offset, StatusSpan& status) {
  const auto first = static_cast<uint8_t>(payload[0]);
  if (kind_ == ResponseKind::kStmtPrepare) return take_prepare_ok(payload);
  if (first == kOkHeader) {
    if (!take_ok(payload, offset, status)) return false;
    end_of_result();
    return true;
  }
  if (kind_ == ResponseKind::kSimple) {
    if (first != kEofHeader) return false;
    const bool taken =
        payload.size() == kEofSize ? take_eof(payload, offset, status) : take_ok(payload, offset, status);
    if (taken) end_of_result();
    return taken;
  }
  if (first == kLocalInfileHeader) {
    step_ = Step::kInfile;
    return true;
  }
  ByteReader reader(payload);
  const uint64_t columns = reader.lenenc_int();
  if (!reader.ok() || !reader.at_end() || columns == 0 || columns > kMaxColumns) return false;
  summary_.columns = static_cast<uint32_t>(columns);
  summary_.has_rows = true;
  defs_left_ = static_cast<uint32_t>(columns);
  step_ = Step::kDefinitions;
  return true;
}

bool ResponseScanner::take_prepare_ok(std::string_view payload) {
  const Result<PrepareOk> ok = decode_prepare_ok(payload);
  if (!ok.ok()) return false;
  summary_.statement_id = ok->statement_id;
  summary_.columns = ok->columns;
  summary_.parameters = ok->parameters;
  summary_.warnings = ok->warnings;
  defs_left_ = ok->parameters;
  defs_next_ = ok->columns;
  begin_definitions();
  return true;
}

// kStmtPrepare: starts the next block of definitions that is not empty, or ends the response.
void ResponseScanner::begin_definitions() {
  if (defs_left_ == 0) std::swap(defs_left_, defs_next_);
  step_ = defs_left_ > 0 ? Step::kDefinitions : Step::kDone;
  if (step_ == Step::kDone) ++summary_.results;
}

void ResponseScanner::end_of_definitions(uint16_t status_flags) {
  if (kind_ == ResponseKind::kStmtPrepare) {
    begin_definitions();
  } else if (kind_ == ResponseKind::kStmtExecute && (status_flags & kStatusCursorExists) != 0) {
    end_of_result();  // A cursor was opened: rows come with COM_STMT_FETCH.
  } else {
    step_ = Step::kRows;
  }
}

void ResponseScanner::message_passed() {
  in_message_ = false;
  if (step_ == Step::kRows) {
    ++summary_.rows;
  } else if (step_ == Step::kText) {
    ++summary_.results;
    step_ = Step::kDone;
  } else if (step_ == Step::kDefinitions && kind_ != ResponseKind::kFieldList && --defs_left_ == 0) {
    if ((capabilities_ & kClientDeprecateEof) != 0) {
      end_of_definitions(0);
    } else {
      step_ = Step::kDefinitionsEnd;
    }
  } else if (step_ == Step::kDefinitions && kind_ == ResponseKind::kFieldList) {
    ++summary_.columns;
  }
}

void ResponseScanner::end_of_result() {
  ++summary_.results;
  const bool more = kind_ != ResponseKind::kSimple && kind_ != ResponseKind::kStmtFetch &&
                    kind_ != ResponseKind::kFieldList && (summary_.status_flags & kStatusMoreResultsExist) != 0;
  step_ = more ? Step::kFirst : Step::kDone;
}

bool ResponseScanner::take_ok(std::string_view payload, size_t offset, StatusSpan& status) {
  ByteReader reader(payload);
  reader.skip(1);
  const uint64_t affected_rows = reader.lenenc_int();
  const uint64_t last_insert_id = reader.lenenc_int();
  const size_t flags = reader.position();
  const uint16_t status_flags = reader.u16();
  const uint16_t warnings = reader.u16();
  if (!reader.ok()) return false;
  if (static_cast<uint8_t>(payload[0]) == kOkHeader) {  // The end of rows has them too, always 0.
    summary_.affected_rows = affected_rows;
    summary_.last_insert_id = last_insert_id;
  }
  summary_.status_flags = status_flags;
  summary_.warnings = warnings;
  if ((status_flags & kStatusSessionStateChanged) != 0 &&
      ((capabilities_ & kClientSessionTrack) == 0 || tells_of_state(payload))) {
    summary_.session_state_changed = true;
  }
  status = {offset - kPacketHeaderSize, payload.size() + kPacketHeaderSize, offset + flags};
  return true;
}

bool ResponseScanner::take_eof(std::string_view payload, size_t offset, StatusSpan& status) {
  if (payload.size() != kEofSize || static_cast<uint8_t>(payload[0]) != kEofHeader) return false;
  ByteReader reader(payload);
  reader.skip(1);
  summary_.warnings = reader.u16();
  summary_.status_flags = reader.u16();
  if ((summary_.status_flags & kStatusSessionStateChanged) != 0) summary_.session_state_changed = true;
  status = {offset - kPacketHeaderSize, payload.size() + kPacketHeaderSize, offset + 3};
  return true;
}

bool ResponseScanner::take_err(std::string_view payload) {
  Result<ErrPacket> err = decode_err(payload);
  if (!err.ok()) return false;
  error_is_first_ = !decided_;
  error_ = std::move(*err);
  step_ = Step::kDone;
  return true;
}

void ResponseScanner::infile_sent(uint8_t last_sequence) {
  if (step_ != Step::kInfile) return;
  sequence_ = static_cast<uint8_t>(last_sequence + 1);
  step_ = Step::kFirst;
}

void set_status_flags(char* flags, uint16_t value) { std::memcpy(flags, &value, sizeof(value)); }

}  // namespace vitrail::mysql
