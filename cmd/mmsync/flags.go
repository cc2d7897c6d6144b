package main

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/config"
)

// age is a flag that takes what a duration in the configuration is: 90s, 36h, 7d.
type age time.Duration

// lasting gives the flag that sets d, which is def until then.
func lasting(d *time.Duration, def time.Duration) *age {
	*d = def
	return (*age)(d)
}

// String is what the help shows as the default: "0" for none, which it leaves out.
func (d *age) String() string {
	if *d == 0 {
		return "0"
	}
	return time.Duration(*d).String()
}

func (d *age) Type() string { return "duration" }

func (d *age) Set(text string) error {
	v, err := config.ParseDuration(text)
	if err != nil {
		return err
	}
	*d = age(v)
	return nil
}

// since gives the moment that long ago; zero for no time.
func (d *age) since() time.Time {
	if *d == 0 {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(*d))
}

// aboutFlag says in our words what the flags' parser says in those of strconv.
func aboutFlag(err error) error {
	number, ok := errors.AsType[*strconv.NumError](err)
	if !ok {
		return err
	}
	what, _, _ := strings.Cut(err.Error(), ": "+number.Error())
	switch number.Func {
	case "ParseBool":
		return errors.New(what + ": write true or false")
	case "ParseFloat":
		return errors.New(what + ": write a number such as 20 or 2.5")
	}
	return errors.New(what + ": write a whole number such as 20")
}
