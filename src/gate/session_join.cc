// Joins of tables that are asked one after the other: see plan/join.h.
#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "exec/row_join.h"
#include "gate/session.h"
#include "gate/session_finish.h"
#include "gate/session_stream.h"
#include "mysql/messages.h"
#include "plan/finish.h"
#include "plan/join.h"

namespace vitrail::gate {
namespace {

// Beyond these a join is finished on one server.
constexpr size_t kMaxRows = 50'000;
constexpr uint64_t kMaxBytes = uint64_t{16} << 20;
constexpr size_t kMaxKeys = 20'000;
// Values in one list.
constexpr size_t kListKeys = 5'000;
constexpr size_t kListBytes = size_t{256} << 10;

// The next of the values that go together.
std::span<const std::string> next_list(std::span<const std::string> values) {
  size_t bytes = 0;
  size_t count = 0;
  while (count < values.size() && count < kListKeys && (count == 0 || bytes + values[count].size() <= kListBytes)) {
    bytes += values[count++].size();
  }
  return values.first(count);
}

// A value that cannot be compared here, or more than the session may keep: a server takes it.
bool is_for_a_server(const Error& error) {
  return error.code() == Code::kUnimplemented || error.code() == Code::kResourceExhausted;
}
// What a value is computed from may be of a row that meets no other.
bool is_of_a_value(const Error& error) {
  constexpr uint16_t kDataOutOfRange = 1690;
  return error.mysql_errno() == kDataOutOfRange;
}

}  // namespace

struct ClientSession::Joining {
  exec::RowJoin join;
  uint64_t bytes = 0;
  size_t questions = 0;
  bool much = false;  // Or not to be compared here.
  Status take(Status done) {
    much = much || join.full() || bytes > kMaxBytes;
    if (done.ok() || !is_for_a_server(done.error())) return done;
    much = true;
    return {};
  }
};

// One part's rows, of some values. False: too many, or a server has warned.
net::Task<Result<bool>> ClientSession::join_part(const plan::FinishInput& input, const plan::Plan& rows, bool first,
                                                 const Statement& statement, Digits digits, Joining& joining) {
  std::vector<InputQuestion> questions;
  CO_RETURN_IF_ERROR(co_await add_questions(input, 0, rows, statement, questions));
  joining.questions += questions.size();
  std::vector<ShardText> texts;
  for (auto& question : questions) texts.push_back(std::move(question.what));
  ShardStreams streams(*this, std::move(texts), digits, true);
  Status opened = co_await streams.open();
  if (!opened.ok() && is_of_a_value(opened.error())) co_return false;
  CO_RETURN_IF_ERROR(opened);
  if (first) joining.join.begin(streams.columns());
  Status read;
  // One shard's rows behind those of another: in the same order each time.
  for (size_t shard = 0; shard < streams.size() && read.ok() && !joining.much; ++shard) {
    for (bool last = false; !last && read.ok() && !joining.much;) {
      RowBatch batch = co_await streams.next_of(shard);
      last = batch.last;
      if (batch.error) {
        read = std::move(*batch.error);
        break;
      }
      joining.bytes += batch.bytes.size();
      if (!batch.ends.empty()) read = joining.take(joining.join.add(std::move(batch.bytes), batch.ends));
    }
  }
  co_await (read.ok() && !joining.much ? streams.drain() : streams.stop());
  if (!read.ok() && is_of_a_value(read.error())) co_return false;
  CO_RETURN_IF_ERROR(read);
  co_return !joining.much && streams.warnings() == 0;
}

// False: it has to be finished on one server, which reads everything anew.
net::Task<Result<bool>> ClientSession::join_rows(const plan::RowJoin& how, const Statement& statement, Digits digits,
                                                 RowSink& out) {
  base::MemoryBudget::Hold memory(memory_, base::MemoryBudget::Kind::kResults);
  Joining joining{.join = {how, std::min(kMaxRows, max_rows()), &memory}};
  for (const auto& part : how.parts) {
    if (&part == &how.parts.front()) {
      CO_ASSIGN_OR_RETURN(const bool all,
                          co_await join_part(part.rows, *part.rows.rows, true, statement, digits, joining));
      if (!all) co_return false;
    } else {
      CO_ASSIGN_OR_RETURN(const auto keys, joining.join.keys());
      if (keys.values.size() > kMaxKeys) co_return false;
      const auto view = shared_.view();
      Statement nowhere;
      CO_ASSIGN_OR_RETURN(const auto context, plan_context(*view, nowhere));
      std::span<const std::string> left(keys.values);
      bool first = true;
      do {
        const auto list = next_list(left);
        left = left.subspan(list.size());
        CO_ASSIGN_OR_RETURN(const auto rows, plan::plan_linked_input(part.rows, keys.link->by_list, list, context));
        CO_ASSIGN_OR_RETURN(const bool all, co_await join_part(part.rows, *rows, std::exchange(first, false), statement,
                                                               digits, joining));
        if (!all) co_return false;
      } while (!left.empty());
    }
    CO_RETURN_IF_ERROR(joining.take(joining.join.end()));
    if (joining.much) co_return false;
  }
  auto joined = joining.join.rows();
  if (!joined.ok() && is_for_a_server(joined.error())) co_return false;
  CO_ASSIGN_OR_RETURN(const auto rows, std::move(joined));
  const auto columns = joining.join.columns();
  const size_t visible = columns.size() - how.merge.hidden_columns;
  count_statement(joining.questions);
  out.begin(std::span(columns).first(visible));
  finished_rows_ = rows.size();
  std::string payload;
  for (const auto& row : rows) {
    payload.clear();
    mysql::encode_text_row(payload, std::span(row).first(visible));
    CO_RETURN_IF_ERROR(out.row(payload));
    if (out.full()) CO_RETURN_IF_ERROR(co_await out.flush());
  }
  co_return true;
}

}  // namespace vitrail::gate
