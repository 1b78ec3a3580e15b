#include "sql/effects.h"

#include <algorithm>
#include <array>
#include <string>

#include "sql/lexer.h"
#include "sql/walk.h"

namespace vitrail::sql {
namespace {

// Sorted. From the function indexes of the MySQL 8.4 and 9 manuals and of MariaDB's documentation.
constexpr auto kBuiltinFunctions = std::to_array<std::string_view>({
    "abs", "acos", "add_months", "adddate", "addtime", "aes_decrypt", "aes_encrypt", "any_value", "area", "asbinary",
    "ascii", "asin", "astext", "aswkb", "aswkt", "asymmetric_decrypt", "asymmetric_derive", "asymmetric_encrypt",
    "asymmetric_sign", "asymmetric_verify", "atan", "atan2", "avg", "benchmark", "bin", "bin_to_uuid",
    "binlog_gtid_pos", "bit_and", "bit_count", "bit_length", "bit_or", "bit_xor", "boundary", "buffer",
    "can_access_column", "can_access_database", "can_access_table", "can_access_view", "cast", "ceil", "ceiling",
    "centroid", "char", "char_length", "character_length", "charset", "chr", "coalesce", "coercibility", "collation",
    "column_add", "column_check", "column_create", "column_delete", "column_exists", "column_get", "column_json",
    "column_list", "compress", "concat", "concat_ws", "connection_id", "contains", "conv", "convert", "convert_tz",
    "convexhull", "cos", "cot", "count", "crc32", "crc32c", "create_asymmetric_priv_key", "create_asymmetric_pub_key",
    "create_dh_parameters", "create_digest", "crosses", "cume_dist", "curdate", "current_date", "current_role",
    "current_time", "current_timestamp", "current_user", "curtime", "database", "date", "date_add", "date_format",
    "date_sub", "datediff", "day", "dayname", "dayofmonth", "dayofweek", "dayofyear", "decode", "decode_histogram",
    "decode_oracle", "default", "degrees", "dense_rank", "des_decrypt", "des_encrypt", "dimension", "disjoint",
    "distance", "elt", "encode", "encrypt", "endpoint", "envelope", "equals", "exp", "export_set", "exteriorring",
    "extract", "extractvalue", "field", "find_in_set", "first_value", "floor", "format", "format_bytes",
    "format_pico_time", "found_rows", "from_base64", "from_days", "from_unixtime", "geomcollection",
    "geometrycollection", "geometrycollectionfromtext", "geometryfromtext", "geometryn", "geometrytype",
    "geomfromtext", "geomfromwkb", "get_dd_column_privileges", "get_format", "get_lock", "glength", "greatest",
    "group_concat", "grouping", "gtid_subset", "gtid_subtract", "hex", "hour", "if", "ifnull", "inet6_aton",
    "inet6_ntoa", "inet_aton", "inet_ntoa", "insert", "instr", "interiorringn", "intersects", "interval",
    "is_free_lock", "is_ipv4", "is_ipv4_compat", "is_ipv4_mapped", "is_ipv6", "is_used_lock", "is_uuid", "isclosed",
    "isempty", "isnull", "isring", "issimple", "json_array", "json_array_append", "json_array_insert",
    "json_array_intersect", "json_arrayagg", "json_compact", "json_contains", "json_contains_path", "json_depth",
    "json_detailed", "json_equals", "json_exists", "json_extract", "json_insert", "json_key_value", "json_keys",
    "json_length", "json_loose", "json_merge", "json_merge_patch", "json_merge_preserve", "json_normalize",
    "json_object", "json_object_filter_keys", "json_object_to_array", "json_objectagg", "json_overlaps",
    "json_pretty", "json_query", "json_quote", "json_remove", "json_replace", "json_schema_valid",
    "json_schema_validation_report", "json_search", "json_set", "json_storage_free", "json_storage_size",
    "json_table", "json_type", "json_unquote", "json_valid", "json_value", "kdf", "lag", "last", "last_day",
    "last_insert_id", "last_value", "lastval", "lcase", "lead", "least", "left", "length", "lengthb", "linefromtext",
    "linestring", "linestringfromtext", "ln", "load_file", "localtime", "localtimestamp", "locate", "log", "log10",
    "log2", "lower", "lpad", "lpad_oracle", "ltrim", "ltrim_oracle", "make_set", "makedate", "maketime",
    "master_gtid_wait", "master_pos_wait", "max", "mbrcontains", "mbrcoveredby", "mbrcovers", "mbrdisjoint",
    "mbrequal", "mbrequals", "mbrintersects", "mbroverlaps", "mbrtouches", "mbrwithin", "md5", "median", "member",
    "microsecond", "mid", "min", "minute", "mlinefromtext", "mod", "month", "monthname", "mpointfromtext",
    "mpolyfromtext", "multilinestring", "multipoint", "multipolygon", "name_const", "natural_sort_key", "next",
    "nextval", "now", "nth_value", "ntile", "nullif", "numgeometries", "numinteriorrings", "numpoints", "nvl", "nvl2",
    "oct", "octet_length", "old_password", "ord", "overlaps", "password", "percent_rank", "percentile_cont",
    "percentile_disc", "period_add", "period_diff", "pi", "point", "pointfromtext", "pointn", "pointonsurface",
    "polyfromtext", "polygon", "polygonfromtext", "position", "pow", "power", "previous", "ps_current_thread_id",
    "ps_thread_id", "quarter", "quote", "radians", "rand", "random_bytes", "rank", "regexp_instr", "regexp_like",
    "regexp_replace", "regexp_substr", "release_all_locks", "release_lock", "repeat", "replace", "reverse", "right",
    "roles_graphml", "round", "row", "row_count", "row_number", "rownum", "rpad", "rpad_oracle", "rtrim",
    "rtrim_oracle", "schema", "sec_to_time", "second", "session_user", "setval", "sformat", "sha", "sha1", "sha2",
    "sign", "sin", "sleep", "soundex", "source_pos_wait", "space", "spider_bg_direct_sql", "sqrt", "srid", "st_area",
    "st_asbinary", "st_asgeojson", "st_astext", "st_aswkb", "st_aswkt", "st_boundary", "st_buffer",
    "st_buffer_strategy", "st_centroid", "st_collect", "st_contains", "st_convexhull", "st_crosses", "st_difference",
    "st_dimension", "st_disjoint", "st_distance", "st_distance_sphere", "st_endpoint", "st_envelope", "st_equals",
    "st_exteriorring", "st_frechetdistance", "st_geohash", "st_geomcollfromtext", "st_geomcollfromwkb",
    "st_geometrycollectionfromtext", "st_geometryn", "st_geometrytype", "st_geomfromgeojson", "st_geomfromtext",
    "st_geomfromwkb", "st_hausdorffdistance", "st_interiorringn", "st_intersection", "st_intersects", "st_isclosed",
    "st_isempty", "st_isring", "st_issimple", "st_isvalid", "st_latfromgeohash", "st_latitude", "st_length",
    "st_linefromtext", "st_linefromwkb", "st_lineinterpolatepoint", "st_lineinterpolatepoints",
    "st_linestringfromtext", "st_linestringfromwkb", "st_longfromgeohash", "st_longitude", "st_makeenvelope",
    "st_numgeometries", "st_numinteriorring", "st_numinteriorrings", "st_numpoints", "st_overlaps",
    "st_pointatdistance", "st_pointfromgeohash", "st_pointfromtext", "st_pointfromwkb", "st_pointn",
    "st_pointonsurface", "st_polyfromtext", "st_polyfromwkb", "st_polygonfromtext", "st_polygonfromwkb", "st_relate",
    "st_simplify", "st_srid", "st_startpoint", "st_swapxy", "st_symdifference", "st_touches", "st_transform",
    "st_union", "st_validate", "st_within", "st_x", "st_y", "startpoint", "statement_digest", "statement_digest_text",
    "std", "stddev", "stddev_pop", "stddev_samp", "str_to_date", "strcmp", "subdate", "substr", "substr_oracle",
    "substring", "substring_index", "subtime", "sum", "sys_guid", "sysdate", "system_user", "tan", "time",
    "time_format", "time_to_sec", "timediff", "timestamp", "timestampadd", "timestampdiff", "to_base64", "to_char",
    "to_days", "to_seconds", "touches", "trim", "trim_oracle", "truncate", "ucase", "uncompress",
    "uncompressed_length", "unhex", "unix_timestamp", "updatexml", "upper", "user", "utc_date", "utc_time",
    "utc_timestamp", "uuid", "uuid_short", "uuid_to_bin", "uuid_v4", "uuid_v7", "validate_password_strength", "value",
    "values", "var_pop", "var_samp", "variance", "vec_distance", "vec_distance_cosine", "vec_distance_euclidean",
    "vec_fromtext", "vec_totext", "version", "wait_for_executed_gtid_set", "wait_until_sql_thread_after_gtids",
    "week", "weekday", "weekofyear", "weight_string", "within", "wsrep_last_seen_gtid", "wsrep_last_written_gtid",
    "wsrep_sync_wait_upto_gtid", "x", "xor", "y", "year", "yearweek",
});
static_assert(std::ranges::is_sorted(kBuiltinFunctions));

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

class EffectsWalker final : public Walker {
 public:
  explicit EffectsWalker(Effects& effects) : effects_(effects) {}
  using Walker::walk;

 private:
  bool enter(const Statement& statement) override {
    using enum StatementKind;
    switch (statement.kind) {
      case kLockTables: effects_.leaves |= Left::kTableLock; break;
      case kUnlockTables: effects_.ends |= Left::kTableLock; break;
      case kPrepare: effects_.leaves |= Left::kTextStatement; break;
      case kFlush: {
        const auto& flush = *statement_as<Flush>(&statement);
        if (flush.with_read_lock || flush.for_export) effects_.leaves |= Left::kTableLock;
        break;
      }
      case kDdl: {
        const auto& ddl = *statement_as<Ddl>(&statement);
        if (ddl.temporary) effects_.leaves |= Left::kTemporaryTable;
        break;
      }
      case kCall:
      case kExecute:
      case kOther:
      case kUnknown:
        effects_.leaves |= Left::kAnything;
        effects_.runs_unseen_code = true;
        break;
      default: break;
    }
    return true;
  }

  bool enter(const Query& query) override {
    if (query.into != nullptr && !query.into->variables.empty()) effects_.leaves |= Left::kUserVariable;
    return true;
  }

  bool enter(const Expr& expr) override {
    if (const auto* assign = as<Binary>(&expr); assign != nullptr && assign->op == BinaryOp::kAssign) {
      effects_.leaves |= Left::kUserVariable;
    }
    const auto* call = as<FunctionCall>(&expr);
    if (call == nullptr) return true;
    const std::string name = lower(call->name.text);
    if (!call->schema.empty() || (!name.empty() && !is_builtin_function(name))) {
      effects_.leaves |= Left::kAnything;
      effects_.runs_unseen_code = true;
    } else if (name == "get_lock") {
      effects_.leaves |= Left::kUserLock;
      effects_.uses_user_locks = true;
    } else if (name == "release_all_locks") {
      effects_.ends |= Left::kUserLock;
      effects_.uses_user_locks = true;
    } else if (name == "release_lock" || name == "is_free_lock" || name == "is_used_lock") {
      effects_.uses_user_locks = true;
    }
    return true;
  }

  Effects& effects_;
};

}  // namespace

bool is_builtin_function(std::string_view name) {
  return std::ranges::binary_search(kBuiltinFunctions, std::string_view(lower(name)));
}

Effects effects_of(const Statement& statement) {
  Effects effects;
  EffectsWalker(effects).walk(statement);
  // HANDLER is kept as text: kAnything covers it; who reads the bits wants to know which it is.
  if (const auto* text = statement_as<TextStatement>(&statement)) {
    Lexer lexer(text->text);
    const Token first = lexer.next();
    if (first.type == TokenType::kWord && lower(first.text(text->text)) == "handler") effects.leaves |= Left::kHandler;
  }
  return effects;
}

}  // namespace vitrail::sql
