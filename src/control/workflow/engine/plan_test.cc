#include "control/workflow/engine/plan.h"

#include <gtest/gtest.h>

#include <ostream>

namespace vitrail::control::engine {

void PrintTo(const Decision& decision, std::ostream* out) {
  *out << (decision.act == Act::kApply    ? "apply "
           : decision.act == Act::kUndo   ? "undo "
           : decision.act == Act::kFinish ? "finish "
                                          : "pause ")
       << decision.step;
}

namespace {

// A step by four letters: its state (p, s, d, u), then u: has an undo, f: which comes first, n: point of no return.
PlannedStep step(std::string_view text) {
  PlannedStep out;
  out.state = text[0] == 'p'   ? ::workflowdata::PENDING
              : text[0] == 's' ? ::workflowdata::STARTED
              : text[0] == 'd' ? ::workflowdata::DONE
                               : ::workflowdata::UNDONE;
  out.has_undo = text.substr(1).contains('u') || text.substr(1).contains('f');
  out.undo_first = text.substr(1).contains('f');
  out.point_of_no_return = text.substr(1).contains('n');
  return out;
}

struct Case {
  const char* what;
  std::vector<std::string_view> steps;
  bool undoing;
  std::vector<bool> failed;
  bool committed;
  Decision wanted;
};

TEST(Plan, DecidesByTheRecordAlone) {
  const Case cases[] = {
      {"nothing is done yet", {"pu", "pf", "pn"}, false, {}, false, {Act::kApply, 0}},
      {"a started step runs again", {"du", "sf", "pn"}, false, {}, false, {Act::kApply, 1}},
      {"all is done", {"du", "df", "dn"}, false, {}, true, {Act::kFinish, 0}},
      {"no steps at all", {}, false, {}, false, {Act::kFinish, 0}},
      {"started is committed", {"du", "df", "sn", "p"}, false, {}, true, {Act::kApply, 2}},
      {"behind the point of no return", {"du", "df", "dn", "s"}, false, {}, true, {Act::kApply, 3}},
      {"the fence is lifted before anything else", {"du", "df", "su", "pn"}, true, {}, false, {Act::kUndo, 1}},
      {"then the last one first", {"du", "uf", "su", "pn"}, true, {}, false, {Act::kUndo, 2}},
      {"then the first one", {"du", "uf", "uu", "pn"}, true, {}, false, {Act::kUndo, 0}},
      {"what was not started is not undone", {"pu", "pf"}, true, {}, false, {Act::kFinish, 0}},
      {"what has no undo is left", {"d", "df"}, true, {}, false, {Act::kUndo, 1}},
      {"what failed holds up nothing else", {"du", "df", "su"}, true, {false, true, false}, false, {Act::kUndo, 2}},
      {"and is tried again later", {"uu", "df", "uu"}, true, {false, true, false}, false, {Act::kPause, 0}},
      {"all is undone", {"uu", "uf", "d"}, true, {}, false, {Act::kFinish, 0}},
  };
  for (const auto& one : cases) {
    std::vector<PlannedStep> steps;
    for (const auto text : one.steps) steps.push_back(step(text));
    EXPECT_EQ(decide(steps, one.undoing, one.failed), one.wanted) << one.what;
    EXPECT_EQ(is_committed(steps), one.committed) << one.what;
  }
}

}  // namespace
}  // namespace vitrail::control::engine
