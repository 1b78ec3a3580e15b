// STREAM * FROM a message table: a result set whose rows come when messages are due, until the client goes.
#include "mysql/errors.h"
#include "mysql/messages.h"
#include "tablet/query_session.h"

namespace vitrail::tablet {

net::Task<Status> QuerySession::on_stream(std::string text) {
  auto table = streamed_table(text);
  if (table.ok() && target_.tablet_type != "primary") {
    table = fail(Code::kFailedPrecondition, "messages are sent by the primary only");
  }
  if (table.ok() && keeps_connection()) {
    table = fail(Code::kFailedPrecondition, "messages are not streamed within a transaction: commit it first");
  }
  if (!table.ok()) co_return co_await send_error(std::move(table).error());
  streaming_ = std::make_unique<net::CancelSource>(gone_.token());
  Status ended = co_await send_messages(std::move(*table), streaming_->token());
  const bool killed = streaming_->cancelled() && !gone_.cancelled();
  streaming_.reset();
  if (gone_.cancelled()) co_return fail(Code::kCanceled, "the client has gone");
  if (killed) {
    ended =
        fail(Code::kCanceled, "Query execution was interrupted").with_mysql(mysql::errnos::kQueryInterrupted, "70100");
  }
  co_return co_await send_error(std::move(ended).error());
}

net::Task<Status> QuerySession::send_messages(std::string table, net::CancelToken cancel) {
  const net::Wait begin = net::Wait::within(shared_.settings.query_timeout, cancel);
  CO_ASSIGN_OR_RETURN(const auto feed, co_await shared_.messages->subscribe(
                                           target_, std::move(table), static_cast<uint8_t>(client_.collation), begin));
  std::string out;
  mysql::PacketWriter writer(out, reply_sequence_);
  mysql::ResultSetWriter result(writer, client_.capabilities);
  result.begin(feed->columns(), mysql::kStatusAutocommit);
  std::vector<mysql::Cell> cells;
  for (;;) {
    reply_sequence_ = writer.sequence();
    CO_RETURN_IF_ERROR(co_await send(std::move(out)));
    out.clear();
    CO_ASSIGN_OR_RETURN(const net::QueryResult batch, co_await feed->next({.cancel = cancel}));
    for (const auto& row : batch.rows) {
      cells.clear();
      for (const auto& cell : row) cells.push_back(cell ? mysql::Cell(*cell) : mysql::Cell());
      CO_RETURN_IF_ERROR(result.row(cells));
    }
  }
}

}  // namespace vitrail::tablet
