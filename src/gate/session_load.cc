// LOAD DATA LOCAL INFILE over shards: one load runs on each shard, and each line of the client's file goes to its own.
#include <fmt/core.h>

#include <algorithm>

#include "gate/load_counts.h"
#include "gate/lookup_statement.h"
#include "gate/session.h"
#include "mysql/errors.h"
#include "mysql/messages.h"
#include "plan/load.h"
#include "vschema/vschema.h"

namespace vitrail::gate {
namespace {

using namespace std::chrono_literals;

constexpr size_t kPiece = size_t{256} << 10;   // Of the file, to a shard at a time.
constexpr size_t kLineMax = size_t{64} << 20;  // As max_allowed_packet of servers that take large rows.
constexpr uint16_t kNoLocalFiles = 4166;
constexpr auto kSilenceMax = 10s;  // A tablet gives a load up that gets nothing for a minute.
// Lines that are loaded before the next ones, where they are loaded some at a time.
constexpr size_t kBatchLines = 1000;
constexpr size_t kBatchBytes = size_t{512} << 10;

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

// The values that place a line's row; null for one that a sequence will give.
Result<std::vector<mysql::Value>> ClientSession::key_of_line(const plan::Load& load, const plan::LineCutter::Line& line,
                                                             std::string_view charset) {
  const auto refuse = [](const std::string& why) { return fail(Code::kInvalidArgument, why); };
  if (!line.complete) return refuse("it has too few fields");
  if (load.generated_at) {
    const auto& field = line.fields.back();
    if (!field || field->find_first_not_of('0') == std::string::npos) {
      return refuse("it asks for a value of a sequence; leave the column out of the file");
    }
  }
  std::vector<mysql::Value> values;
  size_t next = 0;
  for (const auto& key : load.key) {
    if (!key.at) {
      values.push_back(mysql::Value::null());
      continue;
    }
    const auto& field = line.fields[next++];
    if (!field) return refuse("there is no value for " + key.name);
    const plan::Storing storing{.type = key.type,
                                .column = key.column,
                                .charset = charset,
                                .strict = false,
                                .integers = plan::takes_integers(load.vindex.get())};
    auto value = plan::stored_value(storing, mysql::Value::of_text(*field), key.name);
    if (!value.ok()) return refuse(value.error().message());
    values.push_back(std::move(*value));
  }
  return values;
}

namespace {

Error no_place(const plan::Load& load, uint64_t number, std::string_view why) {
  return fail(Code::kInvalidArgument, fmt::format("line {} of the file has no place on the shards of {}.{}: {}", number,
                                                  load.keyspace, load.table, why));
}

}  // namespace

// Where lines go as they come: each shard has one load for the whole file.
class ClientSession::LinesToShards {
 public:
  LinesToShards(ClientSession& session, const plan::Load& load, std::string_view charset,
                std::vector<ShardLoad>& shards)
      : session_(session), load_(load), charset_(charset), shards_(shards) {}

  Status take(const plan::LineCutter::Line& line, uint64_t number) {
    auto key = key_of_line(load_, line, charset_);
    if (!key.ok()) return no_place(load_, number, key.error().message());
    auto target = session_.place_row(load_.keyspace, load_.vindex, std::move(*key));
    if (!target.ok()) return std::move(target).error();
    const auto shard = std::ranges::find(shards_, *target, &ShardLoad::target);
    if (shard == shards_.end()) {
      return fail(Code::kClusterEvent, "the shards have changed while a file was loaded");
    }
    shard->waiting += line.bytes;
    full_ = shard->waiting.size() >= kPiece ? &*shard : nullptr;
    return {};
  }
  bool full() const { return full_ != nullptr; }
  net::Task<Status> flush() { return session_.send_lines(*std::exchange(full_, nullptr), false); }
  net::Task<Status> end_of_piece() {
    for (auto& shard : shards_) {
      const bool silent = !shard.waiting.empty() && base::system_clock().now() - shard.sent > kSilenceMax;
      if (silent) CO_RETURN_IF_ERROR(co_await session_.send_lines(shard, false));
    }
    co_return Status{};
  }

 private:
  ClientSession& session_;
  const plan::Load& load_;
  std::string_view charset_;
  std::vector<ShardLoad>& shards_;
  ShardLoad* full_ = nullptr;
};

// Where some lines at a time are loaded: they get values of a sequence, or lookup vindexes learn of their rows.
class ClientSession::LinesInBatches {
 public:
  LinesInBatches(ClientSession& session, const plan::Load& load, std::string_view charset, LoadCounts& counts,
                 ChangeOutcome& out, Touched& touched)
      : session_(session), load_(load), charset_(charset), counts_(counts), out_(out), touched_(touched) {}

  Status take(const plan::LineCutter::Line& line, uint64_t number) {
    auto key = key_of_line(load_, line, charset_);
    if (!key.ok()) return no_place(load_, number, key.error().message());
    Taken taken{.number = number, .bytes = std::string(line.bytes), .key = std::move(*key)};
    auto field = line.fields.begin() + std::ranges::count_if(load_.key, [](const auto& k) { return k.at.has_value(); });
    for (const auto& lookup : load_.lookups) {
      auto& values = taken.lookups.emplace_back();
      for (const auto& value : lookup) {
        if (value.generated) {
          values.emplace_back();
          continue;
        }
        auto stored = plan::loaded_value(value.column, value.at ? *field++ : std::nullopt, charset_);
        if (!stored.ok()) {
          return std::move(stored).error().with_context(fmt::format("in line {} of the file", number));
        }
        values.emplace_back(std::move(*stored));
      }
    }
    bytes_ += line.bytes.size();
    taken_.push_back(std::move(taken));
    return {};
  }
  bool full() const { return taken_.size() >= kBatchLines || bytes_ >= kBatchBytes; }
  net::Task<Status> end_of_piece() { co_return Status{}; }

  net::Task<Status> flush() {
    if (taken_.empty()) co_return Status{};
    int64_t next = 0;
    if (!load_.sequence_table.empty()) {
      CO_ASSIGN_OR_RETURN(next,
                          co_await session_.next_values(load_.sequence_keyspace, load_.sequence_table, taken_.size()));
      if (out_.last_insert_id == 0) out_.last_insert_id = static_cast<uint64_t>(next);
    }
    plan::ShardedInsert part{.keyspace = load_.keyspace,
                             .vindex = load_.vindex,
                             .conflict = load_.replace ? Conflict::kReplace : Conflict::kIgnore,
                             .table = load_.with_lookups};
    LookupStatement what;
    what.conflict = part.conflict;
    what.load = &load_;
    for (auto& line : taken_) {
      std::optional<mysql::Value> generated;
      if (!load_.sequence_table.empty()) {
        generated = mysql::Value::of_int(next++);
        line.bytes.insert(0, generated->bytes + load_.format.field_end);
        for (size_t i = 0; i < load_.key.size(); ++i) {
          if (!load_.key[i].at) line.key[i] = *generated;
        }
      }
      auto place = co_await session_.place_by_id(load_.keyspace, load_.vindex, line.key);
      if (!place.ok()) co_return no_place(load_, line.number, place.error().message());
      CO_RETURN_IF_ERROR(add_keys(what, line, place->id, generated));
      what.rows.push_back({.target = std::move(place->target), .text = std::move(line.bytes), .id = place->id});
      part.rows.push_back({.key = std::move(line.key)});
    }
    taken_.clear();
    bytes_ = 0;
    what.insert = &part;
    what.texts = line_texts(what.rows);
    Status done = co_await session_.do_lookup_statement(what, touched_);
    // Those that were left out before are told as the servers tell theirs.
    counts_.records += what.loaded.records + what.out.records;
    counts_.deleted += what.loaded.deleted;
    counts_.skipped += what.loaded.skipped + what.out.duplicates;
    out_.affected += what.out.affected;
    co_return done;
  }

 private:
  using Conflict = plan::ShardedInsert::Conflict;
  struct Taken {
    uint64_t number = 0;
    std::string bytes;
    std::vector<mysql::Value> key;
    std::vector<std::vector<std::optional<mysql::Value>>> lookups;  // nullopt: of the sequence.
  };

  Status add_keys(LookupStatement& what, Taken& line, const shard::KeyspaceId& id,
                  const std::optional<mysql::Value>& generated) const {
    auto& keys = what.keys.emplace_back();
    for (size_t use = 0; use < line.lookups.size(); ++use) {
      LookupKey key{.table = load_.with_lookups, .use = use, .id = id, .key = line.key};
      for (auto& value : line.lookups[use]) key.values.push_back(value ? std::move(*value) : *generated);
      const auto& of = load_.with_lookups->lookups[use];
      auto written = is_written(of, key.values);
      if (!written.ok() && of.is_owned) {
        return std::move(written).error().with_context(fmt::format("in line {} of the file", line.number));
      }
      if (written.ok() && *written) keys.push_back(std::move(key));
    }
    return {};
  }

  ClientSession& session_;
  const plan::Load& load_;
  std::string_view charset_;
  LoadCounts& counts_;
  ChangeOutcome& out_;
  Touched& touched_;
  std::vector<Taken> taken_;
  size_t bytes_ = 0;
};

// Reads the client's file to its end, whatever happens: else its connection would be of no use any more.
template <typename Sink>
net::Task<Status> ClientSession::spread_file(const plan::Load& load, Sink& sink) {
  plan::LineCutter cutter(load.format, load.fields());
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
      status = sink.take(*line, number);
      if (status.ok() && sink.full()) status = co_await sink.flush();
      if (!status.ok()) break;
    }
    if (status.ok()) status = co_await sink.end_of_piece();
    if (status.ok() && cutter.held() > kLineMax) {
      status = fail(Code::kResourceExhausted, fmt::format("a line of the file is longer than {} bytes", kLineMax));
    }
  }
  co_return status;
}

net::Task<Status> ClientSession::ask_for_file(const std::string& file) {
  std::string request;
  std::string payload;
  mysql::encode_local_infile(payload, file);
  mysql::PacketWriter(request, sequence_).message(payload);
  Status status = co_await send(std::move(request));
  if (!status.ok()) client_left_ = true;
  co_return status;
}

// The transaction of a load whose connection is gone is lost.
Status ClientSession::lose_broken(const ShardLoad& load, Status status) {
  if (load.client == nullptr || !load.client->broken()) return status;
  if (HeldConnection* held = find_held(load.target)) lose(held);
  if (status.ok()) return status;
  return std::move(status).error().with_reason(Reason::kTransactionLost);
}

// Each line is sent on while the file comes.
net::Task<Status> ClientSession::load_straight(const plan::Load& load, std::string charset, LoadCounts& counts,
                                               ChangeOutcome& out, std::vector<shard::Target> targets) {
  std::vector<ShardLoad> shards;
  Status status;
  for (const auto& target : targets) {  // The transaction, and the statement's savepoint, on each.
    if (!status.ok()) break;
    auto begun = co_await send_change({target, "do 0"}, out);
    if (!begun.ok()) status = std::move(begun).error();
    if (status.ok() && charset.empty()) {
      auto known = co_await default_file_charset(target);
      status = known.ok() ? Status() : Status(known.error());
      if (known.ok()) charset = std::move(*known);
    }
    if (status.ok()) status = co_await begin_load(shards.emplace_back(ShardLoad{.target = target}), load.text);
  }
  out.affected = 0;
  if (status.ok()) status = co_await ask_for_file(load.file);
  if (status.ok()) {
    LinesToShards sink(*this, load, charset, shards);
    status = co_await spread_file(load, sink);
  }
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
  for (const auto& shard : shards) status = lose_broken(shard, std::move(status));
  co_return status;
}

// Some lines at a time, by loads of their own.
net::Task<Status> ClientSession::load_in_batches(const plan::Load& load, std::string charset, LoadCounts& counts,
                                                 ChangeOutcome& out, std::vector<shard::Target> targets) {
  if (load.with_lookups != nullptr) CO_RETURN_IF_ERROR(may_watch());
  Touched touched;
  if (!out.own_transaction) touched.savepoint = statement_savepoint();
  Status status;
  if (charset.empty()) {
    auto begun = co_await ask_touching({targets.front(), "do 0"}, &touched);
    if (!begun.ok()) co_return std::move(begun).error();
    CO_ASSIGN_OR_RETURN(charset, co_await default_file_charset(targets.front()));
  }
  CO_RETURN_IF_ERROR(co_await ask_for_file(load.file));
  {
    LinesInBatches sink(*this, load, charset, counts, out, touched);
    status = co_await spread_file(load, sink);
    if (status.ok()) status = co_await sink.flush();
  }
  if (status.ok() || out.own_transaction || client_left_ || ends_transaction(status.error())) co_return status;
  if (co_await undo_touched(touched)) co_return status;
  co_return std::move(status).error().with_reason(Reason::kTransactionLost);
}

// Of a file whose statement does not say it.
net::Task<Result<std::string>> ClientSession::default_file_charset(shard::Target target) {
  CO_ASSIGN_OR_RETURN(const auto known, co_await ask({std::move(target), "select @@character_set_database"}));
  co_return std::string(known.text(0, 0));
}

std::vector<ClientSession::ShardText> ClientSession::line_texts(const std::vector<InsertedRow>& rows) {
  std::vector<ShardText> texts;
  for (const auto& row : rows) {
    auto found = std::ranges::find(texts, row.target, &ShardText::target);
    if (found == texts.end()) {
      texts.push_back({row.target, row.text});
    } else {
      found->text += row.text;
    }
  }
  return texts;
}

net::Task<Status> ClientSession::load_lines(LookupStatement& what, ShardText lines, Touched& touched) {
  // In the statement's transaction, behind its savepoint.
  CO_ASSIGN_OR_RETURN(const auto begun, co_await ask_touching({lines.target, "do 0"}, &touched));
  ShardLoad load{.target = lines.target, .waiting = std::move(lines.text)};
  Status status = co_await begin_load(load, what.load->text);
  if (status.ok()) {
    auto ended = co_await end_load(load);
    if (ended.ok()) {
      what.out.affected += ended->affected_rows;
      what.loaded.add(ended->info);
    } else {
      status = std::move(ended).error();
    }
  }
  co_return lose_broken(load, std::move(status));
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
  LoadCounts counts;
  Status status = co_await (load.in_batches() ? load_in_batches(load, load.charset, counts, out, std::move(*targets))
                                              : load_straight(load, load.charset, counts, out, std::move(*targets)));
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
