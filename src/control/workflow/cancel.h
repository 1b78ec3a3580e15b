#pragma once

#include "control/workflow/engine/runner.h"
#include "control/workflow/sides.h"
#include "vschema/routing_rules.h"
#include "vtctldata.pb.h"

namespace vitrail::control {

// Gives a workflow up whose writes are on the source: readers go back there, then the copies go. From its first step on
// it can only be finished.
class CancelOperation final : public engine::Operation {
 public:
  // Both must outlive it.
  CancelOperation(TabletClient& tablets, engine::Tenure& tenure, Side source, Side target);

  std::vector<engine::Step> steps() override;
  bool close(engine::Record& record, bool undone) override;

 private:
  const engine::Record& record() const { return tenure_.record(); }
  topo::Server& topology() { return tablets_.topology(); }
  bool flag(const char* name) const;

  net::Task<Status> restore_reads();
  net::Task<Status> restore_reshard_reads();
  vschema::TableMove move() const { return {record().source_keyspace(), record().target_keyspace(), tables_}; }
  net::Task<Status> remove_routing_rules();
  net::Task<Status> stop_streams();
  net::Task<Status> drop_target_tables();
  net::Task<Status> drop_tables_on(::topodata::Tablet tablet);
  net::Task<Status> delete_target_rows();
  int64_t batch_size() const;
  net::Task<Status> remove_from_target_vschema();
  net::Task<Status> allow_target_tables();
  net::Task<Status> delete_all_streams();
  net::Task<Status> clear_sources();

  TabletClient& tablets_;
  engine::Tenure& tenure_;
  const Side source_;
  const Side target_;
  const std::vector<std::string> tables_;
  const bool is_reshard_;
};

// Cancel (WorkflowDelete), for MoveTables and Reshard.
//   kFailedPrecondition "cannot delete workflow because you have already switched write traffic"; or the name is that
//   of a reverse workflow.
net::Task<Result<::vtctldata::WorkflowDeleteResponse>> cancel_workflow(TabletClient& tablets,
                                                                       ::vtctldata::WorkflowDeleteRequest request);

}  // namespace vitrail::control
