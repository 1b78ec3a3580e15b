#pragma once

#include "control/workflow/engine/runner.h"
#include "control/workflow/sides.h"
#include "vschema/routing_rules.h"
#include "vtctldata.pb.h"

namespace vitrail::control {

// Drops what the source has, and all that belongs to the workflow. That it will finish is recorded before anything is
// dropped: from its first step on it can only be finished.
class CompleteOperation final : public engine::Operation {
 public:
  // Both must outlive it.
  CompleteOperation(TabletClient& tablets, engine::Tenure& tenure, Side source, Side target);

  std::vector<engine::Step> steps() override;
  bool close(engine::Record& record, bool undone) override;

 private:
  const engine::Record& record() const { return tenure_.record(); }
  topo::Server& topology() { return tablets_.topology(); }
  vschema::TableMove move() const { return {record().source_keyspace(), record().target_keyspace(), tables_}; }
  bool flag(const char* name) const;

  net::Task<Status> delete_reverse_streams();
  net::Task<Status> drop_source_tables();
  net::Task<Status> remove_from_source_vschema();
  net::Task<Status> route_tables();
  net::Task<Status> remove_routing_rules();
  net::Task<Status> allow_source_tables();
  net::Task<Status> delete_source_shards();
  net::Task<Status> clear_controls();
  net::Task<Status> delete_forward_streams();

  TabletClient& tablets_;
  engine::Tenure& tenure_;
  const Side source_;
  const Side target_;
  const std::vector<std::string> tables_;
  const bool is_reshard_;
};

// Complete, for MoveTables and Reshard.
//   kFailedPrecondition "cannot complete workflow because you have not yet switched all read and write traffic".
net::Task<Result<::vtctldata::MoveTablesCompleteResponse>> complete_workflow(
    TabletClient& tablets, ::vtctldata::MoveTablesCompleteRequest request);

}  // namespace vitrail::control
