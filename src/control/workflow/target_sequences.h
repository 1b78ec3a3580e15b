#pragma once

#include <string>
#include <vector>

#include "control/workflow/sides.h"

// Sequences from which tables take their ids once they are on the target.
namespace vitrail::control {

struct SequenceState {
  std::string table, column;       // Who takes ids from it.
  std::string keyspace, sequence;  // Where it is.
  ::topodata::Tablet tablet;       // The primary that has it.
  int64_t next = 0;                // As stored; 0: it has no row yet.
  int64_t largest = 0;             // Id in use.
};

// Of the tables whose vschema in the target keyspace names a sequence; ids are looked for on `from`.
//   kFailedPrecondition: a sequence that no keyspace has, or several have, or a sharded one.
net::Task<Result<std::vector<SequenceState>>> read_target_sequences(TabletClient& tablets, const Side& from,
                                                                    std::string target_keyspace,
                                                                    std::vector<std::string> tables);
// What is stored has to become this so that no id is given twice; nullopt: it may stay.
std::optional<int64_t> raised_sequence(const SequenceState& state);
// Raises it where need be, and has the tablet forget what it has put aside. May be repeated. `fence`: of the operation.
net::Task<Status> raise_sequence(TabletClient& tablets, ::workflowdata::Fence fence, SequenceState state,
                                 net::Wait wait);
// "Backing table: s, current value 1, new value 101", for a dry run.
std::string describe_sequence(const SequenceState& state);

}  // namespace vitrail::control
