// STREAM * FROM a message table: the primaries of its shards send what is due (tablet/messages.h), and it goes on to
// the client as it comes, until one of the two ends it.
#include "gate/session.h"
#include "gate/session_stream.h"
#include "mysql/convert.h"
#include "plan/planner.h"
#include "sql/parser.h"

namespace vitrail::gate {

// The table is found as that of a SELECT.
Result<std::vector<ClientSession::ShardText>> ClientSession::message_texts(const Statement& statement) {
  ASSIGN_OR_RETURN(const auto ast, sql::parse(statement.text));
  const auto* stream = sql::statement_as<sql::StreamStatement>(&ast.statement());
  if (stream == nullptr || stream->where != nullptr || stream->limit != nullptr ||
      sql::as<sql::Star>(stream->item) == nullptr) {
    return fail(Code::kUnimplemented, "VT12001: unsupported: a STREAM that is not of the form stream * from t");
  }
  if (tablet_type_ != "primary") {
    return fail(Code::kFailedPrecondition, "VT09002: STREAM statement with a replica target");
  }
  plan::Route route{.kind = plan::Route::Kind::kAllShards, .keyspace = keyspace_};
  if (shard_.empty()) {
    std::string select = "select 1 from ";
    if (!stream->table.qualifier.empty()) {
      mysql::append_sql_identifier(select, stream->table.qualifier.text);
      select += ".";
    }
    mysql::append_sql_identifier(select, stream->table.name.text);
    ASSIGN_OR_RETURN(auto as_select, sql::parse(select));
    const auto view = shared_.view();
    ASSIGN_OR_RETURN(const plan::PlanContext context, plan_context(*view, Statement()));
    ASSIGN_OR_RETURN(const auto plan, plan::plan_statement(as_select, context));
    route.keyspace = plan->route.keyspace;
  }
  ASSIGN_OR_RETURN(auto targets, resolve(route, statement));
  std::string text = "stream * from ";
  mysql::append_sql_identifier(text, stream->table.name.text);
  std::vector<ShardText> texts;
  for (auto& target : targets) texts.push_back({std::move(target), text});
  return texts;
}

net::Task<Status> ClientSession::pass_messages(ShardStreams& streams, ClientRows& out) {
  CO_RETURN_IF_ERROR(co_await out.flush());  // The columns: the client knows then that it is heard.
  for (size_t ended = 0; ended < streams.size();) {
    const RowBatch batch = co_await streams.next();
    if (batch.error) co_return Error(*batch.error);
    for (size_t i = 0; i < batch.ends.size(); ++i) {
      CO_RETURN_IF_ERROR(out.row(batch.row(i)));
      if (out.full()) CO_RETURN_IF_ERROR(co_await out.flush());
    }
    if (!batch.ends.empty()) CO_RETURN_IF_ERROR(co_await out.flush());
    if (batch.last) ++ended;
  }
  co_return Status{};
}

net::Task<RunResult> ClientSession::stream_messages(const Statement& statement) {
  if (in_transaction_) {
    co_return RunResult::failed(
        fail(Code::kFailedPrecondition, "messages are not streamed within a transaction: commit it first"));
  }
  auto texts = message_texts(statement);
  if (!texts.ok()) co_return refused(std::move(texts).error());
  streams_messages_ = true;
  ShardStreams streams(*this, std::move(*texts), Digits::kOfText, false);
  ClientRows out(*this);
  Status passed = co_await streams.open();
  if (passed.ok() && !streams.alike()) {
    passed = fail(Code::kFailedPrecondition, "the shards answer with different columns: their tables differ");
  }
  if (passed.ok()) {
    out.begin(streams.columns());
    passed = co_await pass_messages(streams, out);
  }
  co_await streams.stop();
  streams_messages_ = false;
  if (passed.ok()) {
    passed = co_await out.end();
    co_return passed.ok() ? RunResult::answered() : RunResult::hang_up(std::move(passed).error());
  }
  Error error = std::move(passed).error();
  if (out.client_gone()) co_return RunResult::hang_up(std::move(error));
  const bool untouched = out.take_back();
  RunResult result = refused(std::move(error));
  if (untouched || !result.error) co_return result;
  co_return co_await out.end_with(std::move(*result.error));
}

}  // namespace vitrail::gate
