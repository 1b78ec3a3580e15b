#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/states/steps.h"
#include "vschema.pb.h"

namespace vitrail::control::states {

// A column whose values come from a sequence once its table is on the target.
struct SequenceUse {
  std::string table;
  std::string column;
  std::string sequence_keyspace;
  std::string sequence;
  bool operator==(const SequenceUse&) const = default;
};

// Which sequences the VSchema of `target` names for these tables.
//   kFailedPrecondition: no keyspace has a sequence of that name, or several have.
Result<std::vector<SequenceUse>> find_sequences(const std::map<std::string, ::vschema::Keyspace>& vschemas,
                                                const std::string& target, const std::vector<std::string>& tables);

// Ids that the source may give out between the look at its largest one and the stop of its writes.
inline constexpr int64_t kSequenceGap = 1'000'000;

// Lets every sequence of the workflow's tables begin behind the largest id of the source, and kSequenceGap more, unless
// it is above the largest one with that already.
//   kFailedPrecondition, kNotFound: a sequence table is not there; the message says what to do.
net::Task<Status> initialize_sequences(const Plane& plane, const Record& record);

}  // namespace vitrail::control::states
