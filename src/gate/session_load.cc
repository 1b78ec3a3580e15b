// LOAD DATA LOCAL INFILE over shards: one load runs on each shard, and each line of the client's file goes to its own.
#include <fmt/core.h>

#include <algorithm>

#include "gate/session.h"
#include "mysql/errors.h"
#include "mysql/messages.h"
#include "plan/load.h"

namespace vitrail::gate {
namespace {

using namespace std::chrono_literals;

constexpr size_t kPiece = size_t{256} << 10;   // Of the file, to a shard at a time.
constexpr size_t kLineMax = size_t{64} << 20;  // As max_allowed_packet of servers that take large rows.
constexpr uint16_t kNoLocalFiles = 4166;
constexpr auto kSilenceMax = 10s;  // A tablet gives a load up that gets nothing for a minute.

// What the numbers in "Records: 3  Deleted: 0  Skipped: 1  Warnings: 0" come to.
struct LoadCounts {
  uint64_t records = 0;
  uint64_t deleted = 0;
  uint64_t skipped = 0;

  void add(std::string_view info) {
    const auto numbers = numbers_of(info);
    if (numbers.size() < 3) return;
    records += numbers[0];
    deleted += numbers[1];
    skipped += numbers[2];
  }
};

}  // namespace

// A load that runs on one shard.
struct ClientSession::ShardLoad {
  shard::Target target;
  net::MysqlClient* client = nullptr;  // Of the connection that the transaction holds.
  std::string waiting;
  uint8_t sequence = 0;
  bool open = false;
  base::TimePoint sent;
};

// The server asks for the file, and gets what is sent by send_lines().
net::Task<Status> ClientSession::begin_load(ShardLoad& load, const std::string& text) {
  HeldConnection* held = find_held(load.target);
  if (held == nullptr) co_return fail(Code::kInternal, "VT13001: [BUG] a load outside of a transaction");
  load.client = &held->lease->client;
  const net::Wait wait = query_wait();
  std::vector<mysql::QueryAttribute> attributes;
  add_caller(load.client->capabilities(), attributes);
  std::string payload;
  mysql::encode_query(payload, text, attributes, load.client->capabilities());
  CO_RETURN_IF_ERROR(co_await load.client->send(payload, wait));
  CO_ASSIGN_OR_RETURN(const auto answer, co_await load.client->receive(wait));
  if (mysql::is_err(answer.payload)) {
    CO_ASSIGN_OR_RETURN(const auto err, mysql::decode_err(answer.payload));
    if (auto tablets = mysql::decode_tablet_error(err)) co_return met_at(load.target, std::move(*tablets));
    co_return mysql::from_err_packet(err);
  }
  if (answer.payload.empty() || static_cast<uint8_t>(answer.payload[0]) != mysql::kLocalInfileHeader) {
    load.client->set_broken();
    co_return fail(Code::kInternal, "the server did not ask for the file of LOAD DATA LOCAL");
  }
  load.sequence = static_cast<uint8_t>(answer.last_sequence + 1);
  load.open = true;
  load.sent = base::system_clock().now();
  co_return Status{};
}

net::Task<Status> ClientSession::send_lines(ShardLoad& load, bool last) {
  std::string framed;
  mysql::PacketWriter writer(framed, load.sequence);
  if (!load.waiting.empty()) writer.message(load.waiting);
  if (last) writer.message("");
  load.sequence = writer.sequence();
  load.waiting.clear();
  load.sent = base::system_clock().now();
  Status sent = co_await load.client->stream().write(framed, query_wait());
  if (sent.ok()) co_return sent;
  load.client->set_broken();
  load.open = false;
  co_return met_at(load.target, std::move(sent).error().with_effect(Effect::kUnknown));
}

// The end of the file, and what the server says of it.
net::Task<Result<mysql::OkPacket>> ClientSession::end_load(ShardLoad& load) {
  CO_RETURN_IF_ERROR(co_await send_lines(load, true));
  load.open = false;
  CO_ASSIGN_OR_RETURN(const auto answer, co_await load.client->receive(query_wait()));
  if (mysql::is_err(answer.payload)) {
    CO_ASSIGN_OR_RETURN(const auto err, mysql::decode_err(answer.payload));
    if (auto tablets = mysql::decode_tablet_error(err)) co_return met_at(load.target, std::move(*tablets));
    co_return mysql::from_err_packet(err);
  }
  CO_ASSIGN_OR_RETURN(const auto ok, mysql::decode_ok(answer.payload, load.client->capabilities()));
  if (ok.warnings > 0) co_await take_warnings(*load.client, ok.warnings);
  co_return ok;
}

// Which shard a line's row belongs to.
Result<shard::Target> ClientSession::place_line(const plan::Load& load, const plan::LineCutter::Line& line,
                                                uint64_t number) {
  const auto refuse = [&](std::string_view why) {
    return fail(Code::kInvalidArgument, fmt::format("line {} of the file has no place on the shards of {}.{}: {}",
                                                    number, load.keyspace, load.table, why));
  };
  if (!line.complete) return refuse("it has too few fields");
  std::vector<mysql::Value> values;
  for (size_t i = 0; i < load.key.size(); ++i) {
    const auto& key = load.key[i];
    const auto& field = line.fields[i];
    if (!field || (load.generates && *field == "0")) return refuse("there is no value for " + key.name);
    const plan::Storing storing{.type = key.type,
                                .column = key.column,
                                .charset = load.charset.empty() ? std::string_view("unknown") : load.charset,
                                .strict = false,
                                .integers = plan::takes_integers(load.vindex.get())};
    auto value = plan::stored_value(storing, mysql::Value::of_text(*field), key.name);
    if (!value.ok()) return refuse(value.error().message());
    values.push_back(std::move(*value));
  }
  return place_row(load.keyspace, load.vindex, std::move(values));
}

// Reads the client's file to its end, whatever happens: else its connection would be of no use any more.
net::Task<Status> ClientSession::spread_file(const plan::Load& load, std::vector<ShardLoad>& shards) {
  plan::LineCutter cutter(load.format, [&] {
    std::vector<size_t> fields;
    for (const auto& key : load.key) fields.push_back(*key.at);
    return fields;
  }());
  Status status;
  uint64_t number = 0;
  for (bool last = false; !last;) {
    net::Wait wait;
    wait.cancel = gone_.token();
    auto message = co_await stream_.read_message(wait);
    if (!message.ok() || !message->has_value()) {
      client_left_ = true;
      co_return message.ok() ? fail(Code::kUnavailable, "the client left while it sent a file")
                             : std::move(message).error();
    }
    sequence_ = static_cast<uint8_t>((*message)->last_sequence + 1);
    last = (*message)->payload.empty();
    if (!status.ok()) continue;
    if (killed_) {
      status = fail(Code::kCanceled, "Query execution was interrupted")
                   .with_mysql(mysql::errnos::kQueryInterrupted, "70100");
      continue;
    }
    cutter.add((*message)->payload);
    while (auto line = cutter.next(last)) {
      if (++number <= load.skipped_lines) continue;
      auto target = place_line(load, *line, number);
      if (!target.ok()) {
        status = std::move(target).error();
        break;
      }
      const auto shard = std::ranges::find(shards, *target, &ShardLoad::target);
      if (shard == shards.end()) {
        status = fail(Code::kClusterEvent, "the shards have changed while a file was loaded");
        break;
      }
      shard->waiting += line->bytes;
      if (shard->waiting.size() < kPiece) continue;
      status = co_await send_lines(*shard, false);
      if (!status.ok()) break;
    }
    for (auto& shard : shards) {
      const bool silent = !shard.waiting.empty() && base::system_clock().now() - shard.sent > kSilenceMax;
      if (status.ok() && silent) status = co_await send_lines(shard, false);
    }
    if (status.ok() && cutter.held() > kLineMax) {
      status = fail(Code::kResourceExhausted, fmt::format("a line of the file is longer than {} bytes", kLineMax));
    }
  }
  co_return status;
}

net::Task<RunResult> ClientSession::run_load(const plan::Plan& plan) {
  const plan::Load& load = *plan.load;
  if ((client_.capabilities & mysql::kClientLocalFiles) == 0) {
    co_return RunResult::failed(fail(Code::kPermissionDenied,
                                     "The used command is not allowed because the MariaDB server or client has "
                                     "disabled the local infile capability")
                                    .with_mysql(kNoLocalFiles, "HY000"));
  }
  if (tables_locked_ || held_answer_ != nullptr) {
    co_return RunResult::failed(
        fail(Code::kUnimplemented, "VT12001: unsupported: LOAD DATA over several shards under LOCK TABLES"));
  }
  auto targets = resolve({.kind = plan::Route::Kind::kAllShards, .keyspace = load.keyspace}, {});
  if (!targets.ok()) co_return refused(std::move(targets).error());
  ChangeOutcome out;
  out.guarded = true;
  out.own_transaction = !in_transaction_;
  if (out.own_transaction) start_transaction();
  std::vector<ShardLoad> shards;
  Status status;
  for (const auto& target : *targets) {  // The transaction, and the statement's savepoint, on each.
    if (!status.ok()) break;
    auto begun = co_await send_change({target, "do 0"}, out);
    if (!begun.ok()) status = std::move(begun).error();
    if (status.ok()) status = co_await begin_load(shards.emplace_back(ShardLoad{.target = target}), load.text);
  }
  out.affected = 0;
  if (status.ok()) {
    std::string request;
    std::string payload;
    mysql::encode_local_infile(payload, load.file);
    mysql::PacketWriter(request, sequence_).message(payload);
    status = co_await send(std::move(request));
    if (!status.ok()) client_left_ = true;
    if (status.ok()) status = co_await spread_file(load, shards);
  }
  LoadCounts counts;
  for (auto& shard : shards) {
    if (!shard.open) continue;
    if (!status.ok()) shard.waiting.clear();
    auto ended = co_await end_load(shard);
    if (ended.ok()) {
      out.affected += ended->affected_rows;
      counts.add(ended->info);
    } else if (status.ok()) {
      status = std::move(ended).error();
    }
  }
  for (auto& shard : shards) {
    if (shard.client == nullptr || !shard.client->broken()) continue;
    if (HeldConnection* held = find_held(shard.target)) lose(held);
    if (!status.ok()) status = std::move(status).error().with_reason(Reason::kTransactionLost);
  }
  out.told_info = fmt::format("Records: {}  Deleted: {}  Skipped: {}  Warnings: {}", counts.records, counts.deleted,
                              counts.skipped, warnings_);
  if (std::exchange(client_left_, false)) {
    co_await rollback_all();
    co_return RunResult::hang_up(status.ok() ? fail(Code::kUnavailable, "the client left") : std::move(status).error());
  }
  RunResult result = co_await end_change(std::move(out), std::move(status));
  // The client has sent its file: it is not asked for it again.
  if (result.verdict == RunResult::Verdict::kWait) co_return RunResult::failed(std::move(*result.error));
  co_return result;
}

}  // namespace vitrail::gate
