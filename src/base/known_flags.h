#pragma once

namespace vitrail::base {

class Settings;

// Declares the flags that programs of this family are started with elsewhere and that have no effect here: scripts,
// unit files and charts go on working. Each says why that is right: what it asks for holds anyway, does no harm, or
// holds for the values that are accepted; a value that asks for more is refused with that reason. Flags that are not
// listed and not declared by the program are unknown, and refused.
//
// Call it after the program has declared its own settings, which win over this list. The program is known by
// Settings::name().
void declare_known_flags(Settings& settings);

}  // namespace vitrail::base
