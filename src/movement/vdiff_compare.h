#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "binlogdata.pb.h"
#include "movement/target_table.h"

// What a VDiff finds in the rows of one interval, and what would mend it. No I/O.
namespace vitrail::movement {

// A table's result so far.
struct Report {
  int64_t processed = 0;
  int64_t matching = 0;
  int64_t mismatched = 0;
  int64_t extra_source = 0;
  int64_t extra_target = 0;
  std::vector<std::string> source_samples;  // Each as JSON.
  std::vector<std::string> target_samples;
  std::vector<std::string> mismatch_samples;
  int64_t repaired = 0;  // Rows of the target that were made what the source has.

  // The results of one more interval.
  void add(Report more, size_t samples_max);
  bool differs() const { return mismatched + extra_source + extra_target != 0; }
  std::string to_json(const std::string& table) const;
  static Report parse(std::string_view text);
};

struct SampleSettings {
  size_t count_max = 10;  // Of each kind.
  size_t truncate_at = 128;
  bool only_pks = false;
  bool debug_query = false;
};

// Statements that give the target what the source has, in their order and of about 1 MiB at most, to be run in one
// transaction.
struct Repair {
  std::vector<std::string> statements;
};

// Compares the rows of all sources of an interval with those of the target, as texts of the same expressions at the
// same moment. `target`: as table.read_list() gives them. `repair` may be null.
//   A row that two sources have in different forms cannot be repaired: it is counted as missing on the target.
Status compare_rows(const TargetTable& table, const std::vector<const ::binlogdata::VStreamRowsResponse*>& sources,
                    const std::vector<std::vector<std::optional<std::string>>>& target, const SampleSettings& samples,
                    Report& report, Repair* repair);

}  // namespace vitrail::movement
