package modelcli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

func serveCommand(p Program) *cobra.Command {
	var listen string
	c := &cobra.Command{
		Use:   "serve",
		Short: "Let others pull the models of this machine, until told to stop",
		Long: `Serve the models of this machine over HTTP until Ctrl-C: GET /models lists them, GET
/models/ROOT gives one, whole or in ranges. Everybody who reaches the address may fetch
them: mind their licences. A web server before it can add TLS; whoever pulls by root needs
none to know what they got.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return fmt.Errorf("serve models: %w", err)
			}
			list, err := p.dir().List()
			if err != nil {
				l.Close()
				return err
			}
			url := "http://" + l.Addr().String()
			if p.JSON() {
				err = printJSON(c.OutOrStdout(), map[string]any{"url": url, "models": len(list)})
			} else {
				_, err = fmt.Fprintf(c.OutOrStdout(), "%d models at %s; Ctrl-C stops\n", len(list), url)
			}
			if err != nil {
				l.Close()
				return err
			}
			// Models are large and some readers slow: only what shows no sign of life is cut off.
			s := &http.Server{Handler: p.dir().Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 1 << 14}
			stop := context.AfterFunc(c.Context(), func() { _ = s.Close() }) // who pulls goes on later
			defer stop()
			if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve models: %w", err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "address to serve on; port 0 takes a free one")
	return c
}
