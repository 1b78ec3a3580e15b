#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/workflow/create.h"
#include "control/workflow/engine/runner.h"
#include "control/workflow/sides.h"

namespace vitrail::control {

inline constexpr const char* kAddTables = "add_tables";

// What is added to a Materialize, as the record of the operation says it.
struct AddedTables {
  std::vector<std::string> names;                     // In the target.
  std::vector<std::string> followed;                  // In the source.
  std::map<std::string, ::binlogdata::Filter> rules;  // By target shard.

  std::map<std::string, std::string> to_settings() const;
  // kDataLoss: not readable.
  static Result<AddedTables> from_settings(const google::protobuf::Map<std::string, std::string>& settings);
};

// More tables for the streams of a Materialize. They stand still while they are told; then they copy the new tables and
// follow the others. Until the first of them is told everything can be undone.
class AddTablesOperation final : public engine::Operation {
 public:
  // `made`: to be made on each target; empty for a process that takes the operation over. Both must outlive it.
  AddTablesOperation(TabletClient& tablets, engine::Tenure& tenure,
                     std::vector<::tabletmanagerdata::TableDefinition> made, Side target);

  std::vector<engine::Step> steps() override;
  bool close(engine::Record& record, bool undone) override;

 private:
  net::Task<Status> set_all(::binlogdata::VReplicationWorkflowState state, std::string message);
  net::Task<Status> add_rules();
  net::Task<Status> add_rules_on(Place place, ::binlogdata::Filter rules);

  TabletClient& tablets_;
  engine::Tenure& tenure_;
  const Side target_;
  CreateOperation schema_;  // Its first step makes the tables.
};

}  // namespace vitrail::control
