#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "shard/keyspace_id.h"
#include "shard/vindex.h"

namespace vitrail::shard {

// A lookup vindex: a table says where rows are. It has the values of the vindex columns in `from`, and in `to` the
// keyspace id of the row that has them. Names, parameters and what is stored are Vitess's.
//
//   Threads: immutable after creation.
struct Lookup {
  enum class Form : uint8_t {
    kKeyspaceId,  // `to` holds the keyspace id, as bytes.
    kHash,        // `to` holds the number whose vindex `hash` is the keyspace id.
    kLooseHash,   // As kHash; and `from` holds a number made of the text (see loose_number()), not the text.
  };
  enum class ReadLock : uint8_t { kExclusive, kShared, kNone };

  std::string name;  // Of the vindex.
  std::string type;
  std::string keyspace;  // Of the table; empty: wherever a table of this name is.
  std::string table;
  std::vector<std::string> from;
  std::string to;
  Form form = Form::kKeyspaceId;
  bool unique = false;
  bool ignore_nulls = false;  // Rows with a NULL have no lookup row; else they are refused.
  bool write_only = false;    // Being filled: maintained, but not read.
  bool autocommit = false;    // Rows are written at once, whatever becomes of the transaction, and never removed.
  bool no_verify = false;     // Where the table does not own it: values are not compared with it.
  ReadLock read_lock = ReadLock::kExclusive;  // Of reads for a change inside of a transaction.
  int cost = 20;
  // Not empty: it cannot be used, and why.
  std::string problem;
  std::vector<std::string> unknown_parameters;

  // What `to` holds for rows with this id.
  //   kInvalidArgument  kHash and kLooseHash: an id that is not of eight bytes.
  Result<Vindex::ColumnValue> stored(const KeyspaceId& id) const;
  // The id that a `to` in text form means.
  Result<KeyspaceId> id_of(std::string_view stored) const;
};

// "lookup", "consistent_lookup_unique" and their kin.
bool is_lookup_type(std::string_view type);

// kInvalidArgument: bad parameters; the text names the vindex. What is missing is a Lookup::problem: such a vschema may
// be stored.
Result<std::shared_ptr<const Lookup>> create_lookup(std::string_view type, std::string_view name,
                                                    const VindexParameters& parameters);

// The number that stands for a text in `from` of kLooseHash: equal for texts that differ in case, accents or blanks at
// their ends.
//   kInvalidArgument  not UTF-8.
Result<uint64_t> loose_number(std::string_view text);

}  // namespace vitrail::shard
