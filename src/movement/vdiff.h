#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "movement/engine.h"
#include "movement/server_session.h"
#include "movement/stream.h"
#include "net/scope.h"
#include "net/sync.h"

// Comparing the target's tables with their sources, while both are written to.
//
// First by sums of intervals, which the servers compute (vdiff_sums.cc); what differs there is compared by rows:
// chunk by chunk in the order of the primary key: the streams of the workflow are held; the source rows of an interval
// are read, each source's at the exact position S of a snapshot; each stream is let go on to exactly its S and held
// there; the target's rows of the same interval are read; the streams are released. Both sides are then the same
// moment, so every row that differs is a difference, and nothing has to be looked at twice. Rows are matched by key in
// a hash table, so that no collation needs to be known. Source: own design; state and reports are those of Vitess's
// VDiff.
//
// State is in _vt.vdiff and _vt.vdiff_table (state, lastpk, counts, report), so that a VDiff goes on behind the last
// chunk that was saved when the tablet or its server was restarted.
//
// Requests (VDiffRequest), by action:
//   create  vdiff_uuid (made when empty), options. Answer: id and vdiff_uuid.
//   resume  vdiff_uuid: a stopped one, or one in error, goes on; a completed one compares the rows behind its last
//   keys. stop    action_arg or vdiff_uuid. delete  action_arg: a UUID or "all". show    action_arg: "last" or a UUID:
//   vdiff_uuid, id and one row for each table, with the columns vdiff_state, last_error,
//           table_name, uuid, table_state, table_rows, started_at, rows_compared, completed_at, has_mismatch, report;
//           no rows when there is none. "all": rows of _vt.vdiff of the workflow, the latest first.
// A report is JSON: {TableName, ProcessedRows, MatchingRows, MismatchedRows, ExtraRowsSource, ExtraRowsTarget,
// ExtraRowsSourceSample: [{Row: {column: text}, Query}], ExtraRowsTargetSample: [..],
// MismatchedRowsSample: [{Source: {Row, Query}, Target: {..}}]}.
namespace vitrail::movement {

// The VDiffs of an engine.
//   Threads: the engine's loop.
class VDiffs {
 public:
  explicit VDiffs(Engine::Core& engine);
  ~VDiffs();

  // Goes on with those that were under way.
  net::Task<Status> open(ServerSession& session, net::Wait wait);
  // Stops the work; their rows stay "started".
  net::Task<void> close();
  net::Task<Result<::tabletmanagerdata::VDiffResponse>> handle(::tabletmanagerdata::VDiffRequest request,
                                                               net::Wait wait);
  // Stops and deletes those of a workflow.
  net::Task<Status> forget_workflow(std::string workflow, net::Wait wait);

 private:
  struct Run;
  net::Task<Result<int64_t>> find_id(ServerSession& session, const ::tabletmanagerdata::VDiffRequest& request,
                                     net::Wait wait);
  void start(int64_t id);
  net::Task<void> halt(int64_t id);
  net::Task<Result<::tabletmanagerdata::VDiffResponse>> create(ServerSession& session,
                                                               ::tabletmanagerdata::VDiffRequest request,
                                                               net::Wait wait);
  net::Task<Result<::tabletmanagerdata::VDiffResponse>> show(ServerSession& session,
                                                             ::tabletmanagerdata::VDiffRequest request, net::Wait wait);
  net::Task<Status> remove(ServerSession& session, std::string where, net::Wait wait);

  Engine::Core& engine_;
  net::Mutex admin_;  // Held while runs begin and end.
  bool opened_ = false;
  std::map<int64_t, std::unique_ptr<Run>> runs_;
};

}  // namespace vitrail::movement
