#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "binlogdata.pb.h"
#include "movement/server_session.h"
#include "tabletmanagerdata.pb.h"

// Rows of _vt.vreplication and its companions.
namespace vitrail::movement {

struct StreamRecord {
  int32_t id = 0;
  std::string workflow;
  ::binlogdata::BinlogSource source;
  std::string pos;  // Prefixed; "" before the first chunk of a copy.
  std::string stop_pos;
  int64_t max_tps = 0;
  int64_t max_replication_lag = 0;
  std::string cell;
  std::string tablet_types;
  int64_t time_updated = 0;
  int64_t transaction_timestamp = 0;
  ::binlogdata::VReplicationWorkflowState state = ::binlogdata::Unknown;
  std::string message;
  std::string db_name;
  int64_t rows_copied = 0;
  std::string tags;
  int64_t time_heartbeat = 0;
  int64_t time_throttled = 0;
  std::string component_throttled;
  int32_t workflow_type = 0;
  int32_t workflow_sub_type = 0;
  bool defer_secondary_keys = false;
  std::string options;

  bool may_run() const { return state != ::binlogdata::Stopped && state != ::binlogdata::Error; }
};

// `where`: "id = 5". Rows whose source cannot be read are given with an empty one and state Error.
net::Task<Result<std::vector<StreamRecord>>> load_streams(ServerSession& session, std::string where, net::Wait wait);
// kNotFound when the row is gone.
net::Task<Result<StreamRecord>> load_stream(ServerSession& session, int32_t id, net::Wait wait);

struct CopyState {
  std::string table;
  ::query::QueryResult lastpk;  // No rows: from the beginning.
};
net::Task<Result<std::vector<CopyState>>> load_copy_state(ServerSession& session, int32_t id, net::Wait wait);

// Words of the state column; Unknown for others.
::binlogdata::VReplicationWorkflowState parse_state(std::string_view word);
std::string state_word(::binlogdata::VReplicationWorkflowState state);

// "in_order:REPLICA,PRIMARY" and back. The default, for "", is that.
struct TabletTypes {
  std::vector<::topodata::TabletType> types;
  bool in_order = true;
};
TabletTypes parse_tablet_types(std::string_view text);
std::string tablet_types_text(const google::protobuf::RepeatedField<int>& types,
                              ::tabletmanagerdata::TabletSelectionPreference preference);

inline constexpr size_t kMessageMax = 900;  // Bytes of the message column that are used.
// An SQL literal of bytes.
std::string sql_text(std::string_view bytes);
// An SQL literal for a JSON column. MySQL takes no strings without a character set there, which all of a session with
// SET NAMES binary are.
std::string sql_json(std::string_view text);
int64_t unix_now();

// Log types of _vt.vreplication_log.
inline constexpr char kLogCreated[] = "Stream Created";
inline constexpr char kLogUpdated[] = "Stream Updated";
inline constexpr char kLogMessage[] = "Message";
inline constexpr char kLogCopyStarted[] = "Started Copy Phase";
inline constexpr char kLogCopyEnded[] = "Ended Copy Phase";
inline constexpr char kLogState[] = "State Changed";
inline constexpr char kLogError[] = "Error";
// Adds an entry; when the last one of the stream is the same, counts it up instead.
net::Task<Status> log_stream(ServerSession& session, int32_t id, std::string type, std::string state,
                             std::string message, net::Wait wait);

}  // namespace vitrail::movement
