#include "control/states/records.h"

#include <fmt/core.h>

#include <algorithm>

#include "topo/record_io.h"

namespace vitrail::control::states {
namespace {

using topo::sharding_workflow_path;

}  // namespace

Status check_name(std::string_view what, std::string_view name) {
  const bool good = !name.empty() && name.size() <= 64 && name.find_first_not_of('.') != std::string_view::npos &&
                    std::ranges::all_of(name, [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                             c == '-' || c == '.';
                    });
  if (good) return {};
  return fail(Code::kInvalidArgument,
              fmt::format("invalid {} \"{}\": letters, digits, '_', '-' and '.', at most 64", what, name));
}

int64_t to_ms(base::WallTime time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

void add_log(Record& record, base::WallTime now, std::string who, std::string what) {
  auto* entry = record.add_log();
  entry->set_at_ms(to_ms(now));
  entry->set_who(std::move(who));
  entry->set_what(std::move(what));
  if (static_cast<size_t>(record.log_size()) > kLogEntriesMax) record.mutable_log()->DeleteSubrange(0, 1);
}

Result<Position> position_of(const Record& record) {
  Position out;
  ASSIGN_OR_RETURN(out.state, parse_state(record.state()));
  out.before = out.state;
  if (record.has_pending() && !record.pending().error().empty()) {
    out.state = State::kError;
    ASSIGN_OR_RETURN(out.failed, parse_recorded_action(record.pending().action()));
  }
  return out;
}

bool is_under_way(const Record& record) { return record.has_pending() && record.pending().error().empty(); }

std::string name_of(const Record& record) { return record.branch() + "/" + record.name(); }

net::Task<Result<StoredRecord>> load(topo::Server& topology, std::string branch, std::string name) {
  CO_RETURN_IF_ERROR(check_name("name of a branch", branch));
  CO_RETURN_IF_ERROR(check_name("name of a sharding workflow", name));
  auto read = co_await topo::internal::read_record<Record>(topology.global(), sharding_workflow_path(branch, name),
                                                           "sharding workflow " + branch + "/" + name);
  if (!read.ok()) co_return std::move(read).error();
  co_return StoredRecord{std::move(read->record), read->version};
}

net::Task<Result<std::vector<StoredRecord>>> list(topo::Server& topology, std::string branch) {
  std::vector<StoredRecord> out;
  auto found = co_await topology.global().list(std::string(topo::kShardingWorkflowsDir));
  if (!found.ok() && found.error().code() != Code::kNotFound) co_return std::move(found).error();
  if (!found.ok()) co_return out;
  for (const auto& entry : *found) {
    auto record = topo::internal::parse_record<Record>(entry.data, "a sharding workflow");
    if (!record.ok() || record->name().empty() || (!branch.empty() && record->branch() != branch)) continue;
    out.push_back({std::move(*record), entry.version});
  }
  std::ranges::sort(out, {}, [](const StoredRecord& s) { return std::pair(s.record.branch(), s.record.name()); });
  co_return out;
}

net::Task<Result<StoredRecord>> create(topo::Server& topology, Record record) {
  CO_RETURN_IF_ERROR(check_name("name of a branch", record.branch()));
  CO_RETURN_IF_ERROR(check_name("name of a sharding workflow", record.name()));
  const auto before = co_await load(topology, record.branch(), record.name());
  if (before.ok()) {
    CO_ASSIGN_OR_RETURN(const Position position, position_of(before->record));
    if (is_active(position.state)) {
      co_return fail(Code::kAlreadyExists, fmt::format("there is a sharding workflow {}, in the state {}",
                                                       name_of(record), name_of(position.state)));
    }
    co_return co_await replace(topology, *before, std::move(record));
  }
  if (before.error().code() != Code::kNotFound) co_return before.error();
  auto written = co_await topology.global().create(sharding_workflow_path(record.branch(), record.name()),
                                                   topo::internal::serialize_record(record));
  if (!written.ok()) co_return std::move(written).error();
  co_return StoredRecord{std::move(record), *written};
}

net::Task<Result<StoredRecord>> replace(topo::Server& topology, const StoredRecord& before, Record record) {
  auto written = co_await topology.global().update(sharding_workflow_path(record.branch(), record.name()),
                                                   topo::internal::serialize_record(record), before.version);
  if (!written.ok()) {
    if (written.error().code() != Code::kAborted) co_return std::move(written).error();
    co_return fail(Code::kAborted,
                   "sharding workflow " + name_of(record) + " was changed by somebody else; look again");
  }
  co_return StoredRecord{std::move(record), *written};
}

}  // namespace vitrail::control::states
