#include "control/manager/records.h"

#include <algorithm>

#include "topo/record_io.h"

namespace vitrail::control::manager {
namespace {

Result<Record> decode_workflow(::workflow::Workflow workflow) {
  Record out;
  if (!out.checkpoint.ParseFromString(workflow.data())) {
    return fail(Code::kDataLoss, "the checkpoint of workflow " + workflow.uuid() + " cannot be decoded");
  }
  workflow.clear_data();
  out.workflow = std::move(workflow);
  return out;
}

}  // namespace

Result<Record> decode(const std::string& data) {
  ASSIGN_OR_RETURN(auto workflow, topo::internal::parse_record<::workflow::Workflow>(data, "a workflow"));
  return decode_workflow(std::move(workflow));
}

std::string encode(Record record) {
  record.workflow.set_data(topo::internal::serialize_record(record.checkpoint));
  return topo::internal::serialize_record(record.workflow);
}

bool is_ours(const Record& record) {
  return std::ranges::find(kFactories, record.workflow.factory_name()) != std::end(kFactories);
}

net::Task<Result<Stored>> load(topo::Server& topology, std::string uuid) {
  CO_RETURN_IF_ERROR(topo::validate_name("workflow", uuid));
  auto read = co_await topology.global().get(topo::workflow_path(uuid));
  if (!read.ok()) co_return topo::internal::tell(std::move(read).error(), "workflow " + uuid);
  CO_ASSIGN_OR_RETURN(Record record, decode(read->data));
  if (!is_ours(record)) co_return fail(Code::kNotFound, "workflow " + uuid + " is none of the workflow manager's");
  co_return Stored{std::move(record), read->version};
}

net::Task<Result<std::vector<Stored>>> list(topo::Server& topology) {
  std::vector<Stored> out;
  auto found = co_await topology.global().list(std::string(topo::kWorkflowsDir));
  if (!found.ok() && found.error().code() != Code::kNotFound) co_return std::move(found).error();
  if (!found.ok()) co_return out;
  for (const auto& entry : *found) {
    auto record = decode(entry.data);
    if (record.ok() && is_ours(*record)) out.push_back({std::move(*record), entry.version});
  }
  std::ranges::sort(out, {}, [](const Stored& stored) {
    return std::pair(stored.record.workflow.create_time(), stored.record.workflow.uuid());
  });
  co_return out;
}

net::Task<Status> create(topo::Server& topology, Record record) {
  const std::string path = topo::workflow_path(record.workflow.uuid());
  const auto written = co_await topology.global().create(path, encode(std::move(record)));
  if (!written.ok()) co_return written.error();
  co_return Status{};
}

net::Task<Result<Record>> change(topo::Server& topology, std::string uuid,
                                 std::function<Result<bool>(Record& record)> fn, std::optional<topo::Fence> fence) {
  std::optional<Record> last;
  topo::UpdateFn<::workflow::Workflow> update = [&](::workflow::Workflow& workflow) -> Result<bool> {
    ASSIGN_OR_RETURN(last, decode_workflow(workflow));
    if (!is_ours(*last)) return fail(Code::kNotFound, "workflow " + uuid + " is none of the workflow manager's");
    ASSIGN_OR_RETURN(const bool changed, fn(*last));
    if (changed) workflow.ParseFromString(encode(*last));
    return changed;
  };
  CO_RETURN_IF_ERROR(topo::validate_name("workflow", uuid));
  auto done = co_await topo::internal::update_record<::workflow::Workflow>(
      topology.global(), topo::workflow_path(uuid), "workflow " + uuid, std::move(update), std::move(fence), false);
  if (!done.ok()) co_return std::move(done).error();
  co_return std::move(*last);
}

net::Task<Status> remove(topo::Server& topology, const Stored& stored) {
  return topology.global().remove(topo::workflow_path(stored.record.workflow.uuid()), stored.version);
}

}  // namespace vitrail::control::manager
