# Lists, dictionaries, commands, closures and references.
proc greet {name args} { return "hello $name" }
set users {}
for {set i 0} {$i < 8000} {incr i} {
	set user [dict create name "user number $i" id $i ratio [expr {$i / 3.0}]]
	dict set user tags [list a b "tag $i"]
	lappend users $user
	set byname(user$i) [lindex $users end]
	if {$i % 100 == 0} {
		proc greet$i {a {b 2}} { if {$a > $b} { return [greet $a] } else { return $b } }
		greet$i $i
	}
}
set held {}
for {set i 0} {$i < 200} {incr i} { lappend held [ref "value $i" tag] }
puts ready
flush stdout
gets stdin
puts [llength $users]
