#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "mysql/messages.h"
#include "mysql/protocol.h"

// Finds the end of a response in a stream of raw bytes without decoding rows: the heart of relaying.
//
// A relay reads bytes from a backend into a buffer, asks the scanner how many of them it may pass on, and passes them
// on as they are. For rows only the 4-byte header and the first payload byte are looked at.
namespace vitrail::mysql {

// What a command's response looks like.
enum class ResponseKind : uint8_t {
  kQuery,        // COM_QUERY: OK, ERR, LOCAL INFILE request, or result sets.
  kStmtPrepare,  // COM_STMT_PREPARE.
  kStmtExecute,  // COM_STMT_EXECUTE: like kQuery with binary rows; may open a cursor (definitions without rows).
  kStmtFetch,    // COM_STMT_FETCH: rows and their end.
  kFieldList,    // COM_FIELD_LIST: definitions and their end.
  kSimple,      // One OK, EOF or ERR: COM_PING, INIT_DB, RESET_CONNECTION, STMT_RESET, SET_OPTION, REGISTER_REPLICA ...
  kStatistics,  // COM_STATISTICS: one message with any text.
};

// The response kind of a command; nullopt for commands without a response (QUIT, STMT_CLOSE, STMT_SEND_LONG_DATA) and
// for those that are no request/response at all (BINLOG_DUMP, CHANGE_USER).
std::optional<ResponseKind> response_kind(Command command);

// Scans one response.
//
//   Usage    : scanner.start(kind, capabilities);
//              loop { read more bytes behind `buffer`; feed(buffer); pass on the first `consumed` bytes; drop them; }
//              until the outcome's state is not kMore. What follows a kDone response belongs to the next (pipelining).
//   Contract : feed() takes the bytes that start where the last feed() stopped consuming. It may leave a tail: a cut
//              header, or a cut message it has to see whole (OK, EOF, ERR, column count, prepare answer). The caller
//              keeps the tail and offers it again with more bytes behind. Rows and definitions are consumed in any
//              pieces. So nothing is copied, ERR is decoded in place, and status flags are never split over buffers.
//   Stops    : feed() returns early after every message that carries status flags, so that a relay can rewrite them in
//              place: `status` tells where. Call feed() again with the rest while state is kMore.
//   Bounds   : a message that must be seen whole is at most kMaxWholeMessage bytes; a longer one is malformed. The
//              relay's buffer has to be able to grow to that.
//   Threads  : confined to one.
class ResponseScanner {
 public:
  static constexpr size_t kMaxWholeMessage = size_t{1} << 20;
  static constexpr size_t kNone = static_cast<size_t>(-1);

  enum class State : uint8_t {
    kMore,       // Consumed all it can; the response goes on.
    kDone,       // The response ended with the last consumed byte.
    kRowsMax,    // As many rows as set_rows_max() allows were consumed, and another one follows.
    kInfile,     // A LOCAL INFILE request ends with the last consumed byte. Relay the client's messages up to and with
                 // the empty one, call infile_sent(), and go on feeding.
    kMalformed,  // Not a response: close both connections. consumed counts the bytes before the offending message.
  };

  // Where in the bytes given to this feed() call the status-bearing message stands. All kNone if this call had none.
  struct StatusSpan {
    size_t message = kNone;   // Its header.
    size_t message_size = 0;  // Header included.
    size_t flags = kNone;     // The u16 status flags: may be overwritten in place (set_status_flags).
    bool present() const { return message != kNone; }
  };

  struct Outcome {
    size_t consumed = 0;
    State state = State::kMore;
    StatusSpan status;
  };

  // What is known of the response so far.
  struct Summary {
    uint16_t status_flags = 0;  // Of the last OK or EOF.
    uint16_t warnings = 0;
    uint64_t affected_rows = 0;          // Of the last OK that was a result of its own, not the end of rows.
    uint64_t last_insert_id = 0;         // Likewise.
    uint64_t rows = 0;                   // Rows of all result sets that were passed.
    uint32_t results = 0;                // Complete results (an OK counts as one).
    uint32_t columns = 0;                // Of the current or last result set.
    uint32_t statement_id = 0;           // kStmtPrepare.
    uint16_t parameters = 0;             // kStmtPrepare.
    bool has_rows = false;               // At least one result set was started.
    bool session_state_changed = false;  // In any OK or EOF so far.
  };

  // `first_sequence`: number of the first frame, 1 after a command of one frame (a command of n frames: n).
  void start(ResponseKind kind, Capabilities capabilities, uint8_t first_sequence = 1);

  Outcome feed(std::string_view bytes);

  // Stops (State::kRowsMax) where a row begins that would be one too many, over all result sets of the response.
  // Between start() and the first feed(), or later to go on; 0: no limit.
  void set_rows_max(uint64_t rows) { rows_max_ = rows; }

  // After State::kInfile, when the client's last (empty) message had sequence number `last_sequence`.
  void infile_sent(uint8_t last_sequence);

  // False until the first message of the response has been recognised and, if it is an ERR, decoded. Nothing has been
  // consumed before that, so a router may still throw the response away and try elsewhere.
  bool decided() const { return decided_; }
  // Whether the next message is the first of the response, or of a further result of it.
  bool at_result_start() const { return step_ == Step::kFirst; }
  // The ERR that ended the response, if any.
  const std::optional<ErrPacket>& error() const { return error_; }
  // Whether the ERR was the first message: no client has seen a byte, provided that the relay looks at the outcome
  // before it passes on the bytes of the same feed().
  bool failed_at_once() const { return error_.has_value() && error_is_first_; }
  const Summary& summary() const { return summary_; }
  // The number the next frame of this response must carry.
  uint8_t next_sequence() const { return sequence_; }
  // Total of consumed bytes since start().
  uint64_t total_consumed() const { return total_; }

 private:
  enum class Step : uint8_t {
    kFirst,           // OK, ERR, LOCAL INFILE request, column count or prepare answer.
    kDefinitions,     // Parameters or columns.
    kDefinitionsEnd,  // Their EOF, when CLIENT_DEPRECATE_EOF is off.
    kRows,
    kText,  // COM_STATISTICS.
    kInfile,
    kDone,
    kMalformed,
  };

  Outcome outcome(size_t consumed, const StatusSpan& status);
  bool must_be_whole(uint8_t first, uint32_t length) const;
  bool take_whole(std::string_view payload, size_t offset, StatusSpan& status);
  bool take_first(std::string_view payload, size_t offset, StatusSpan& status);
  bool take_ok(std::string_view payload, size_t offset, StatusSpan& status);
  bool take_eof(std::string_view payload, size_t offset, StatusSpan& status);
  bool take_err(std::string_view payload);
  bool take_prepare_ok(std::string_view payload);
  void begin_definitions();
  void end_of_definitions(uint16_t status_flags);
  void end_of_result();
  void message_passed();
  size_t hop_rows(std::string_view bytes, size_t position);

  Capabilities capabilities_ = 0;
  ResponseKind kind_ = ResponseKind::kSimple;
  Step step_ = Step::kDone;
  uint8_t sequence_ = 0;
  bool decided_ = false;
  bool error_is_first_ = false;
  bool continued_ = false;   // The current frame has 2^24-1 bytes: the next one belongs to the same message.
  bool in_message_ = false;  // A row or definition was begun and has not ended.
  uint32_t skip_ = 0;        // Payload bytes of the current frame still to come.
  uint32_t defs_left_ = 0;   // Definitions of the current block.
  uint32_t defs_next_ = 0;   // kStmtPrepare: columns after the parameters.
  uint64_t total_ = 0;
  uint64_t rows_max_ = 0;
  Summary summary_;
  std::optional<ErrPacket> error_;
};

// Overwrites the status flags at `flags` (StatusSpan::flags) in a relay's buffer.
void set_status_flags(char* flags, uint16_t value);

}  // namespace vitrail::mysql
