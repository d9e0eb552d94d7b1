package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tetrad-vault/tetrad/deploy/lab"
)

// canaries searches every file and log line of every region for what must be there
// only encrypted: names of tenants, keys and services, notes, and the PIN.
func (d *demo) canaries(context.Context) error {
	d.step("canaries: names, notes and the PIN are searched for in every file and log of every region")
	words := [][]byte{[]byte(tenant), []byte(service), []byte(key), []byte(taprootKey), []byte(solanaKey), []byte(note), []byte(lab.PIN), []byte("withdrawal 1 of the demo")}
	files, size := 0, int64(0)
	for _, r := range d.Regions {
		err := filepath.WalkDir(r.Dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || path == filepath.Join(r.Dir, "pin") {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			files++
			size += int64(len(b))
			for _, w := range words {
				if bytes.Contains(b, w) {
					return fmt.Errorf("%q stands in plain text in %s", w, path)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	d.detail("none in %d files, %d KiB", files, size>>10)
	d.fact("canaries", "none in plain text in %d files", files)
	return nil
}
