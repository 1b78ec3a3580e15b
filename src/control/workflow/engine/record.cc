#include "control/workflow/engine/record.h"

#include <fmt/core.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <ctime>

#include "topo/paths.h"

namespace vitrail::control::engine {
namespace {

std::string time_text(int64_t ms) {
  const std::time_t seconds = ms / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace

int64_t to_ms(base::WallTime time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

bool holds_clients(const ::workflowdata::Operation& open) {
  return std::ranges::any_of(open.steps(), [](const ::workflowdata::OperationStep& step) {
    const bool begun = step.state() == ::workflowdata::STARTED || step.state() == ::workflowdata::DONE;
    return begun && step.notes().contains(std::string(kHoldsClients));
  });
}

std::string serialize(const Record& record) {
  std::string data;
  {
    google::protobuf::io::StringOutputStream raw(&data);
    google::protobuf::io::CodedOutputStream coded(&raw);
    coded.SetSerializationDeterministic(true);
    record.SerializeToCodedStream(&coded);
  }
  return data;
}

Result<Record> parse_record(const std::string& data) {
  Record record;
  if (!record.ParseFromString(data)) return fail(Code::kDataLoss, "the record of a workflow cannot be decoded");
  return record;
}

net::Task<Result<StoredRecord>> load_record(topo::Server& topology, std::string keyspace, std::string workflow) {
  auto stored = co_await topology.global().get(topo::movement_record_path(keyspace, workflow));
  if (!stored.ok()) {
    if (stored.error().code() != Code::kNotFound) co_return std::move(stored).error();
    co_return fail(Code::kNotFound,
                   fmt::format("the {} workflow does not exist in the {} keyspace", workflow, keyspace));
  }
  CO_ASSIGN_OR_RETURN(Record record, parse_record(stored->data));
  co_return StoredRecord{std::move(record), stored->version};
}

net::Task<Result<std::vector<StoredRecord>>> list_records(topo::Server& topology, bool with_shard_changes) {
  std::vector<StoredRecord> records;
  auto list = co_await topology.global().list(std::string(topo::kMovementDir));
  if (!list.ok()) {
    if (list.error().code() == Code::kNotFound) co_return records;
    co_return std::move(list).error();
  }
  for (const auto& entry : *list) {
    auto record = parse_record(entry.data);
    const bool passing = record.ok() && (record->kind() == kShardChange || record->kind() == kServedFromChange);
    if (passing && !with_shard_changes) continue;
    if (record.ok() && !record->id().empty()) records.push_back({std::move(*record), entry.version});
  }
  co_return records;
}

net::Task<Result<StoredRecord>> create_record(topo::Server& topology, Record record) {
  auto version = co_await topology.global().create(
      topo::movement_record_path(record.target_keyspace(), record.workflow()), serialize(record));
  if (!version.ok()) co_return std::move(version).error();
  co_return StoredRecord{std::move(record), *version};
}

net::Task<Status> change_options(topo::Server& topology, StoredRecord stored,
                                 std::map<std::string, std::string> options) {
  Record next = stored.record;
  for (auto& [name, value] : options) (*next.mutable_options())[name] = std::move(value);
  auto written = co_await topology.global().update(topo::movement_record_path(next.target_keyspace(), next.workflow()),
                                                   serialize(next), stored.version);
  if (written.ok()) co_return Status{};
  if (written.error().code() != Code::kAborted) co_return std::move(written).error();
  co_return fail(Code::kAborted, "another command has begun on " + name_of(next) + " at the same moment: try again");
}

std::string name_of(const Record& record) {
  if (record.kind() == kShardChange) {
    return fmt::format("reparent of {}/{}", record.target_keyspace(),
                       record.target_shards().empty() ? "" : record.target_shards(0));
  }
  if (record.kind() == kServedFromChange) {
    return fmt::format("MigrateServedFrom of {}/{}", record.target_keyspace(),
                       record.target_shards().empty() ? "" : record.target_shards(0));
  }
  return fmt::format("{} {}.{}", record.kind(), record.target_keyspace(), record.workflow());
}

std::string describe_open(const Record& record) {
  if (!record.has_open()) return "";
  const auto& open = record.open();
  std::string step;
  for (const auto& one : open.steps()) {
    if (one.state() == ::workflowdata::STARTED || one.state() == ::workflowdata::DONE) step = one.name();
  }
  std::string out = fmt::format("{} is {} since {}", open.kind(), open.undoing() ? "being undone" : "under way",
                                time_text(open.started_ms()));
  if (!step.empty()) out += ", at step " + step;
  out += open.owner().empty() ? ", waiting for its next attempt" : ", by " + open.owner_text();
  if (open.attempts() > 0) out += fmt::format(", after {} failed attempts", open.attempts());
  if (!open.error().empty()) out += ": " + open.error();
  return out;
}

}  // namespace vitrail::control::engine
