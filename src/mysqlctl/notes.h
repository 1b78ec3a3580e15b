#pragma once

#include "base/file.h"
#include "mysqld/config.h"

// Notes in a server's folder by which a tablet says that its files are its own for now. Whoever else would start the
// server leaves it alone while one is there: the tablet starts it, also after its own death.
namespace vitrail::mysqlctl {

inline std::string stopped_note(const mysqld::Layout& layout) { return layout.root + "/.stopped-for-backup"; }
// Written from the moment on from which a restore takes the place of the present files.
inline std::string restore_note(const mysqld::Layout& layout) { return layout.root + "/.restore"; }

inline bool belongs_to_the_tablet(const mysqld::Layout& layout) {
  return base::file_exists(stopped_note(layout)) || base::file_exists(restore_note(layout));
}

}  // namespace vitrail::mysqlctl
