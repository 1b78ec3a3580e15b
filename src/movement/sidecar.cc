#include "movement/sidecar.h"

#include "sql/qualifier.h"

namespace vitrail::movement {

std::string in_sidecar(std::string sql, std::string_view name) {
  return name.empty() || name == kSidecarDatabase ? sql : sql::rename_database(std::move(sql), kSidecarDatabase, name);
}
namespace {

// Column names and meanings: vitess-interfaces, "Sidecar tables". Text that tools compare is binary or utf8mb4.
constexpr const char* kStatements[] = {
    "CREATE DATABASE IF NOT EXISTS _vt DEFAULT CHARACTER SET utf8mb4",

    // One row for each stream of this shard.
    R"(CREATE TABLE IF NOT EXISTS _vt.vreplication (
  id INT NOT NULL AUTO_INCREMENT,
  workflow VARBINARY(1000) DEFAULT NULL,
  source MEDIUMBLOB NOT NULL,
  pos VARBINARY(10000) NOT NULL,
  stop_pos VARBINARY(10000) DEFAULT NULL,
  max_tps BIGINT NOT NULL,
  max_replication_lag BIGINT NOT NULL,
  cell VARBINARY(1000) DEFAULT NULL,
  tablet_types VARBINARY(100) DEFAULT NULL,
  time_updated BIGINT NOT NULL,
  transaction_timestamp BIGINT NOT NULL,
  state VARBINARY(100) NOT NULL,
  message VARBINARY(1000) DEFAULT NULL,
  db_name VARBINARY(255) NOT NULL,
  rows_copied BIGINT NOT NULL DEFAULT 0,
  tags VARBINARY(1024) NOT NULL DEFAULT '',
  time_heartbeat BIGINT NOT NULL DEFAULT 0,
  workflow_type INT NOT NULL DEFAULT 0,
  time_throttled BIGINT NOT NULL DEFAULT 0,
  component_throttled VARCHAR(255) NOT NULL DEFAULT '',
  reason_throttled VARCHAR(255) NOT NULL DEFAULT '',
  workflow_sub_type INT NOT NULL DEFAULT 0,
  defer_secondary_keys TINYINT(1) NOT NULL DEFAULT 0,
  options JSON DEFAULT NULL,
  PRIMARY KEY (id),
  KEY workflow_idx (workflow(64)),
  KEY time_heartbeat_idx (time_heartbeat)
) ENGINE = InnoDB)",

    R"(CREATE TABLE IF NOT EXISTS _vt.vreplication_log (
  id BIGINT NOT NULL AUTO_INCREMENT,
  vrepl_id INT NOT NULL,
  type VARBINARY(256) NOT NULL,
  state VARBINARY(100) NOT NULL,
  created_at TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  message TEXT NOT NULL,
  count BIGINT NOT NULL DEFAULT 1,
  PRIMARY KEY (id),
  KEY vrepl_id_idx (vrepl_id)
) ENGINE = InnoDB)",

    // One row for each table that a stream still has to copy; lastpk: text form of query.QueryResult, one row.
    R"(CREATE TABLE IF NOT EXISTS _vt.copy_state (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  vrepl_id INT NOT NULL,
  table_name VARBINARY(128) NOT NULL,
  lastpk BLOB DEFAULT NULL,
  PRIMARY KEY (id),
  KEY vrepl_id (vrepl_id, table_name)
) ENGINE = InnoDB)",

    R"(CREATE TABLE IF NOT EXISTS _vt.post_copy_action (
  id BIGINT NOT NULL AUTO_INCREMENT,
  vrepl_id INT NOT NULL,
  table_name VARBINARY(128) NOT NULL,
  action JSON NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY vrepl_id (vrepl_id, table_name)
) ENGINE = InnoDB)",

    // A schema change that a stream is about to carry out: the position behind it, and what it changes before.
    R"(CREATE TABLE IF NOT EXISTS _vt.schema_change (
  vrepl_id INT NOT NULL,
  pos VARBINARY(10000) NOT NULL,
  looks VARBINARY(64) NOT NULL,
  time_updated BIGINT NOT NULL,
  PRIMARY KEY (vrepl_id)
) ENGINE = InnoDB)",

    // The latest epoch of each workflow's record that a command to this tablet had: older ones are refused.
    R"(CREATE TABLE IF NOT EXISTS _vt.workflow_epoch (
  workflow_id VARBINARY(64) NOT NULL,
  epoch BIGINT NOT NULL,
  time_updated BIGINT NOT NULL,
  PRIMARY KEY (workflow_id)
) ENGINE = InnoDB)",

    // val: text form of binlogdata.Journal.
    R"(CREATE TABLE IF NOT EXISTS _vt.resharding_journal (
  id BIGINT NOT NULL,
  db_name VARBINARY(255) DEFAULT NULL,
  val BLOB DEFAULT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB)",

    R"(CREATE TABLE IF NOT EXISTS _vt.vdiff (
  id BIGINT NOT NULL AUTO_INCREMENT,
  vdiff_uuid VARCHAR(64) CHARACTER SET utf8mb3 NOT NULL,
  workflow VARBINARY(1024) DEFAULT NULL,
  keyspace VARBINARY(256) DEFAULT NULL,
  shard VARCHAR(255) NOT NULL,
  db_name VARBINARY(1024) DEFAULT NULL,
  state VARBINARY(64) DEFAULT NULL,
  options JSON DEFAULT NULL,
  created_at TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP,
  started_at TIMESTAMP NULL DEFAULT NULL,
  liveness_timestamp TIMESTAMP NULL DEFAULT NULL,
  completed_at TIMESTAMP NULL DEFAULT NULL,
  last_error VARBINARY(1024) DEFAULT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY uuid_idx (vdiff_uuid),
  KEY state (state),
  KEY ks_wf_idx (keyspace(64), workflow(64))
) ENGINE = InnoDB)",

    R"(CREATE TABLE IF NOT EXISTS _vt.vdiff_table (
  vdiff_id BIGINT NOT NULL,
  table_name VARBINARY(128) NOT NULL,
  state VARBINARY(64) DEFAULT NULL,
  lastpk BLOB DEFAULT NULL,
  table_rows BIGINT NOT NULL DEFAULT 0,
  rows_compared BIGINT NOT NULL DEFAULT 0,
  mismatch BOOL NOT NULL DEFAULT FALSE,
  report JSON DEFAULT NULL,
  created_at TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  PRIMARY KEY (vdiff_id, table_name)
) ENGINE = InnoDB)",

    R"(CREATE TABLE IF NOT EXISTS _vt.vdiff_log (
  id BIGINT NOT NULL AUTO_INCREMENT,
  vdiff_id BIGINT NOT NULL,
  created_at TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP,
  message TEXT NOT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB)",

    R"(CREATE TABLE IF NOT EXISTS _vt.reparent_journal (
  time_created_ns BIGINT UNSIGNED NOT NULL,
  action_name VARBINARY(250) NOT NULL,
  primary_alias VARBINARY(32) NOT NULL,
  replication_position VARBINARY(64000) DEFAULT NULL,
  PRIMARY KEY (time_created_ns)
) ENGINE = InnoDB)",

    R"(CREATE TABLE IF NOT EXISTS _vt.heartbeat (
  keyspaceShard VARBINARY(256) NOT NULL,
  tabletUid INT UNSIGNED NOT NULL,
  ts BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (keyspaceShard)
) ENGINE = InnoDB)",

    R"(CREATE TABLE IF NOT EXISTS _vt.semisync_heartbeat (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  ts TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  PRIMARY KEY (id)
) ENGINE = InnoDB)",

    R"(CREATE TABLE IF NOT EXISTS _vt.schema_version (
  id INT NOT NULL AUTO_INCREMENT,
  pos VARBINARY(10000) NOT NULL,
  time_updated BIGINT NOT NULL,
  ddl BLOB DEFAULT NULL,
  schemax LONGBLOB NOT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB)",

    // Two-phase commit.
    R"(CREATE TABLE IF NOT EXISTS _vt.dt_state (
  dtid VARBINARY(512) NOT NULL,
  state BIGINT NOT NULL,
  time_created BIGINT NOT NULL,
  PRIMARY KEY (dtid),
  KEY time_created (time_created)
) ENGINE = InnoDB)",
    R"(CREATE TABLE IF NOT EXISTS _vt.dt_participant (
  dtid VARBINARY(512) NOT NULL,
  id BIGINT NOT NULL,
  keyspace VARCHAR(256) NOT NULL,
  shard VARCHAR(256) NOT NULL,
  PRIMARY KEY (dtid, id)
) ENGINE = InnoDB)",
    R"(CREATE TABLE IF NOT EXISTS _vt.redo_state (
  dtid VARBINARY(512) NOT NULL,
  state BIGINT NOT NULL,
  time_created BIGINT NOT NULL,
  message TEXT DEFAULT NULL,
  PRIMARY KEY (dtid)
) ENGINE = InnoDB)",
    R"(CREATE TABLE IF NOT EXISTS _vt.redo_statement (
  dtid VARBINARY(512) NOT NULL,
  id BIGINT NOT NULL,
  statement MEDIUMBLOB NOT NULL,
  PRIMARY KEY (dtid, id)
) ENGINE = InnoDB)",
};

}  // namespace

std::vector<std::string> sidecar_schema() { return {std::begin(kStatements), std::end(kStatements)}; }

}  // namespace vitrail::movement
